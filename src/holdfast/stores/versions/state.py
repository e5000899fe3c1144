"""The state of a store with a tree: on which saved version its unsaved changes stand."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import Record
from holdfast.store import layout

_STATE: Final = b"state"


class State(NamedTuple):
    """What stands below the unsaved changes.

    Attributes:
        base: the saved version; 0: nothing.
        revision: of the commit that wrote this; 0: it was never written.
    """

    base: int
    revision: int


def state_key(number: int) -> bytes:
    """The key of a store's state."""
    return layout.region(number, layout.SAVED) + _STATE


def encode_state(base: int) -> bytes:
    """The row of a state."""
    return msgspec.msgpack.encode([base])


def state_of(record: Record | None) -> State:
    """The state in a row. Raises IntegrityFailed."""
    if record is None:
        return State(0, 0)
    try:
        [base] = msgspec.msgpack.decode(record.value, type=tuple[int])
    except (msgspec.DecodeError, ValueError) as error:
        raise IntegrityFailed(
            "the state of a store with versions cannot be read; run `holdfast check`"
        ) from error
    return State(base, record.revision)
