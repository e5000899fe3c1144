"""The unsaved operations of a store with a tree, in the order of their commits.

Which root hash a tree gets depends on the order of its operations, so that is kept until they are
folded into a version: one row for each commit, under a key that holds the commit's revision. What
value a key has is not kept here; it stands in the key's row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.plan import Plan

#: How many operations one row names.
ROW_OPERATIONS_MAX: Final = 2_000

#: (whether it is a set, key)
Operation = tuple[bool, bytes]


def log_prefix(number: int) -> bytes:
    """What the keys of a store's unsaved operations begin with."""
    return layout.region(number, layout.PENDING)


def append(plan: Plan, prefix: bytes, operations: list[Operation]) -> None:
    """Add operations of one commit."""
    for at in range(0, len(operations), ROW_OPERATIONS_MAX):
        part = operations[at : at + ROW_OPERATIONS_MAX]
        plan.append(prefix, msgspec.msgpack.encode(part))


def operations_of(rows: Iterable[bytes]) -> Iterator[Operation]:
    """The operations in rows. Raises IntegrityFailed."""
    for row in rows:
        try:
            yield from _decode(row)
        except msgspec.DecodeError as error:
            raise IntegrityFailed(
                "a row of unsaved operations cannot be read; run `holdfast check`"
            ) from error


def up_to(prefix: bytes, revision: int) -> Range:
    """The rows of commits up to a revision."""
    return Range(prefix, prefix + (revision + 1).to_bytes(8, "big"))


_decode = msgspec.msgpack.Decoder(list[tuple[bool, bytes]]).decode
