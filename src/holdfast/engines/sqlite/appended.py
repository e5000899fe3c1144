"""Appended rows: a table of their own, in which the place of a row is its key.

An `Append` makes a key of a prefix, the revision of its commit and an index within it. Such rows
arrive in the order of their keys and are never written again, so a table that is sorted by one
number takes them at its end: one page of the log for each commit, and no entry in the index of
keys. The number holds revision and index. The newest row then also tells the newest revision, and
a commit that appends need not write it down elsewhere.

One prefix of a database has this: that of the first row that was appended. Every other key lies
among the rows, and so does a key of this very shape that something else than an append wrote (a
stray); the table `meta` says whether there are any.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.contract.batch import APPEND_BYTES, append_key
from holdfast.contract.record import Range

#: Bits of the number that hold the index; more than a batch has operations.
INDEX_BITS = 17
_INDEX_MASK = (1 << INDEX_BITS) - 1
#: From this revision on (a million commits a second for a year) appended rows lie among the others.
REVISION_END = 1 << 45
#: Behind every number.
ID_END = REVISION_END << INDEX_BITS


def appended_id(key: bytes) -> int | None:
    """The number of a key that looks as if an append had made it, whatever its prefix."""
    # The revision has 45 bits, so it begins with two empty bytes: most other keys end here.
    if key[-12:-10] != b"\0\0" or len(key) <= APPEND_BYTES:
        return None
    number = int.from_bytes(key[-12:], "big")
    revision, index = number >> 32, number & 0xFFFF_FFFF
    if revision >= REVISION_END or index > _INDEX_MASK:
        return None
    return revision << INDEX_BITS | index


class AppendedKeys(NamedTuple):
    """The keys of the table.

    Attributes:
        prefix: of every appended row in the table.
    """

    prefix: bytes

    def id(self, key: bytes) -> int | None:
        """The number of the key; None for a key that has no place in the table."""
        if key[:-APPEND_BYTES] != self.prefix:
            return None
        return appended_id(key)

    def key(self, id: int) -> bytes:
        """The key of a number."""
        return append_key(self.prefix, id >> INDEX_BITS, id & _INDEX_MASK)

    def ids(self, range: Range) -> tuple[int, int]:
        """The first number of the range and the one behind its last; no number: equal ones."""
        first = 0 if range.start is None else self._first(range.start)
        end = ID_END if range.end is None else self._first(range.end)
        return first, max(first, end)

    def apart(self, range: Range) -> bool:
        """Whether no key of the range begins with the prefix: what most ranges are asked."""
        prefix, start, end = self.prefix, range.start, range.end
        return (end is not None and end <= prefix) or (
            start is not None and start[: len(prefix)] > prefix
        )

    def _first(self, key: bytes) -> int:
        """The number of the first key that is not below."""
        prefix = self.prefix
        if not key.startswith(prefix):
            return 0 if key < prefix else ID_END
        tail = key[len(prefix) :]
        number = int.from_bytes(tail[:APPEND_BYTES].ljust(APPEND_BYTES, b"\0"), "big")
        revision, index = number >> 32, number & 0xFFFF_FFFF
        if index > _INDEX_MASK:
            revision, index = revision + 1, 0
        elif len(tail) > APPEND_BYTES:
            index += 1  # Longer than the key it begins with, so behind it.
        return min((revision << INDEX_BITS) + index, ID_END)
