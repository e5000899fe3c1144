"""What indexes are asked in one read: rows with those that their keys refer to, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

#: The last two bytes of a key tell how long the part before them is that names its target.
TAIL: Final = None


class Lookup(NamedTuple):
    """What an index lookup reads, all of it as of one moment.

    Attributes:
        beside: the key of one more row, which is read with it.
        spans: of the index, in the order of the walk: each the keys `start <= key < end`, of one
            byte at least.
        reverse: each from the last to the first.
        limit: at most this many rows of each, from 1.
        into: what the keys of targets begin with.
        cut: which part of the key of an index row follows there: from so many bytes on (below 0:
            counted from the end), so many (None: all that follow). `TAIL`: its last two bytes tell,
            big-endian, how many of those before them.
    """

    beside: bytes
    spans: Sequence[tuple[bytes, bytes]]
    reverse: bool
    limit: int
    into: bytes
    cut: tuple[int, int | None] | None = TAIL


#: Of a row of the index key and value, of its target value and revision; None: there is none.
LookedUpRow = tuple[bytes, bytes, bytes | None, int | None]


class LookedUp(NamedTuple):
    """What a lookup found.

    Attributes:
        beside: the value of the row beside; None: there is none.
        rows: of the index, in the order of the walk, each with its target.
    """

    beside: bytes | None
    rows: list[LookedUpRow]


class Tally(NamedTuple):
    """What is counted, all of it as of one moment.

    Attributes:
        beside: the key of a row that is read with it.
        spans: each the keys `start <= key < end`, of one byte at least, and up to how many rows
            are counted.
    """

    beside: bytes
    spans: Sequence[tuple[bytes, bytes, int]]


class Tallied(NamedTuple):
    """What a tally found.

    Attributes:
        beside: the value of the row beside; None: there is none.
        counts: of each span.
    """

    beside: bytes | None
    counts: list[int]
