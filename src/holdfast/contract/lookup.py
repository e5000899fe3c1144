"""What is asked in one read: rows of indexes with what they refer to, counts, and rows sifted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from holdfast.contract.record import Range, Record

#: The last two bytes of a key tell how long the part before them is that names its target.
TAIL: Final = None


class Fence(NamedTuple):
    """A row that has to be as it is believed; where it is not, nothing is answered.

    Attributes:
        key, value: of the row.
    """

    key: bytes
    value: bytes


class Lookup(NamedTuple):
    """What an index lookup reads, all of it as of one moment.

    Attributes:
        fence: of the same moment.
        spans: of the index, in the order of the walk, apart from each other: each the keys
            `start <= key < end`, of one byte at least.
        reverse: each from the last to the first.
        limit: at most this many rows of each, from 1.
        into: what the keys of targets begin with.
        cut: which part of the key of an index row follows there: from so many bytes on (below 0:
            counted from the end), so many (None: all that follow). `TAIL`: its last two bytes tell,
            big-endian, how many of those before them.
        in_value: the value of an index row says it instead: all of it from so many bytes on. Of a
            value that has no more bytes than that, `cut` holds. None: no value says it.
        valued: whether the values of the rows of the index are wanted; otherwise they may be empty.
        keep: tells by its value whether a row of the index is wanted. With it nothing is answered
            where a span has more rows than the limit.
        sift: beside `keep`, where looking at values costs more: tells by its key whether a row of
            the index is wanted; None: its value tells. An engine may do without it.
    """

    fence: Fence
    spans: Sequence[tuple[bytes, bytes]]
    reverse: bool
    limit: int
    into: bytes
    cut: tuple[int, int | None] | None = TAIL
    valued: bool = True
    keep: Callable[[bytes], bool] | None = None
    in_value: int | None = None
    sift: Callable[[bytes], bool | None] | None = None

    def target(self, key: bytes, value: bytes) -> bytes:
        """The key of the row that a row of the index refers to."""
        if self.in_value is not None and len(value) > self.in_value:
            return self.into + value[self.in_value :]
        if self.cut is None:
            return self.into + key[-2 - int.from_bytes(key[-2:], "big") : -2]
        at, length = self.cut
        return self.into + key[at : None if length is None else at + length or None]


#: Key and value of a row of the index, and the value of its target; None: there is none.
LookedUp = tuple[bytes, bytes, bytes | None]


class Tally(NamedTuple):
    """What is counted, all of it as of one moment.

    Attributes:
        fence: of the same moment.
        spans: each the keys `start <= key < end`, of one byte at least, and up to how many rows
            are counted.
    """

    fence: Fence
    spans: Sequence[tuple[bytes, bytes, int]]


#: What is seen in the value of a row; None: nothing that is wanted.
Look = Callable[[bytes], Any]


class Sifted(NamedTuple):
    """The rows of a page of which something is wanted.

    Attributes:
        rows: each with what was seen in its value, in the order of the walk.
        looked: how many rows were looked at.
        resume: the range that is left to look at; None: nothing is.
    """

    rows: list[tuple[bytes, Record, Any]]
    looked: int
    resume: Range | None
