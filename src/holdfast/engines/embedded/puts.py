"""What most writes are: a draft that puts some rows, judged and taken in by one pass over it."""

from __future__ import annotations

from holdfast.contract.batch import Draft, append_place
from holdfast.contract.capability import Capabilities

#: A value and its revision.
Put = tuple[bytes, int]


def puts_of(draft: Draft, revision: int, limits: Capabilities) -> dict[bytes, Put] | None:
    """The rows of a draft that puts rows within the limits and does nothing but that.

    None: it does something else, or `check_draft` has to look at it closely.

    Args:
        revision: of the commit.
    """
    if draft.checks or draft.ranges or draft.id is not None:
        return None
    total = index = 0
    longest = limits.key_bytes_max
    puts: dict[bytes, Put] = {}
    for key, value in draft.rows.items():
        if type(value) is not bytes or type(key) is not bytes or not 0 < len(key) <= longest:
            return None
        total += len(value)
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
