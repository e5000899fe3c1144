"""What most writes are: a draft that writes some rows, judged and taken in by one pass over it."""

from __future__ import annotations

from typing import Any, Literal, overload

from holdfast.contract.batch import Draft, append_place
from holdfast.contract.capability import Capabilities

#: A value, None where the row is deleted, and its revision.
Written = tuple[bytes | None, int]


@overload
def puts_of(
    draft: Draft, revision: int, limits: Capabilities, *, deletes: Literal[False]
) -> dict[bytes, tuple[bytes, int]] | None: ...
@overload
def puts_of(draft: Draft, revision: int, limits: Capabilities) -> dict[bytes, Written] | None: ...
def puts_of(draft: Draft, revision: int, limits: Capabilities, *, deletes: bool = True) -> Any:
    """The rows of a draft that writes rows within the limits and does nothing but that.

    None: it does something else, or `check_draft` has to look at it closely.

    Args:
        revision: of the commit.
        deletes: whether rows may be deleted, too.
    """
    if draft.checks or draft.ranges or draft.id is not None:
        return None
    total = index = 0
    longest = limits.key_bytes_max
    puts: dict[bytes, Written] = {}
    for key, value in draft.rows.items():
        if type(key) is not bytes or not 0 < len(key) <= longest:
            return None
        if type(value) is bytes:
            total += len(value)
        elif value is not None or not deletes:
            return None
        puts[key] = value, revision
    for prefix, value in draft.appends:
        if type(value) is not bytes or type(prefix) is not bytes or not prefix:
            return None
        key = prefix + append_place(revision, index)
        if len(key) > longest:
            return None
        index += 1  # noqa: SIM113 - most drafts have one append
        total += len(value)
        puts[key] = value, revision
    if total > limits.value_bytes_max or len(puts) > limits.batch_operations_max:
        return None
    return puts or None
