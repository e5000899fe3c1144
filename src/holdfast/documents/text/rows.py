"""The rows of a full-text index, byte by byte, and how they are read.

    key (without the index's prefix)    value
    a                                   documents, words, next number: 8 bytes each
    d  identifier                       the document's number, 4 bytes
    f  number (4)                       what the document holds: see `forward.py`
    l  block (4)                        the words of each document of a block, 4 bytes each
    t  term  00  block (4)              the postings of a term in a block

Documents are numbered as they come, and 1,024 numbers are a block: so a row of postings is found
without a search, and is bounded. It has the low part of each number, 2 bytes each, and behind
them all how often the term stands in each field, a byte each.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import NamedTuple

from holdfast.documents.text.arrays import LONG, SHORT, pack_array, unpack_array
from holdfast.documents.text.forward import COUNT_MAX

#: Reads the value of one row; None if there is none.
Read = Callable[[bytes], bytes | None]
#: Reads all rows whose key begins with a prefix, in the order of keys.
Scan = Callable[[bytes], Iterable[tuple[bytes, bytes]]]
#: A row to put, or to delete (None).
Change = tuple[bytes, bytes | None]

BLOCK_DOCUMENTS = 1024
"""How many documents share a row of postings at most."""

DOCUMENTS_MAX = 2**32 - 1
"""How many documents one index can number in its life."""

STATISTICS_KEY = b"a"
_NUMBER = b"d"
_FORWARD = b"f"
_LENGTHS = b"l"
_TERM = b"t"
_TERM_END = b"\0"
_STATISTICS = struct.Struct(">QQQ")
_WORD_BYTES = 4


class Statistics(NamedTuple):
    """What the scores need to know of the whole index.

    Attributes:
        documents: how many documents it holds.
        words: how many words these have, stop words left out.
        next: the number that the next new document gets.
    """

    documents: int = 0
    words: int = 0
    next: int = 0

    def pack(self) -> bytes:
        return _STATISTICS.pack(*self)

    @classmethod
    def read(cls, read: Read) -> Statistics:
        value = read(STATISTICS_KEY)
        return cls() if value is None else cls(*_STATISTICS.unpack(value))


def number_key(identifier: bytes) -> bytes:
    return _NUMBER + identifier


def forward_key(number: int) -> bytes:
    return _FORWARD + number.to_bytes(4, "big")


def lengths_key(block: int) -> bytes:
    return _LENGTHS + block.to_bytes(4, "big")


def lengths_of(scan: Scan) -> Iterable[tuple[int, bytes]]:
    """Every block with the row of its lengths."""
    return ((int.from_bytes(key[-4:], "big"), value) for key, value in scan(_LENGTHS))


def term_prefix(term: str) -> bytes:
    """What all postings of a term begin with."""
    return _TERM + term.encode() + _TERM_END


def terms_prefix(beginning: str) -> bytes:
    """What all postings begin with whose terms begin so."""
    return _TERM + beginning.encode()


def postings_tail(block: int) -> bytes:
    """What the key of a row of postings has behind `term_prefix`."""
    return block.to_bytes(4, "big")


def split_postings_key(key: bytes) -> tuple[bytes, int]:
    """(term, block) of a row of postings; the term as it stands in the key."""
    return key[len(_TERM) : -5], int.from_bytes(key[-4:], "big")


# --- Postings and lengths -------------------------------------------------------------------


def postings(value: bytes, fields: int) -> tuple[array[int], bytes]:
    """The low parts of the numbers, ascending, and the counts, `fields` bytes for each."""
    count = len(value) // (2 + fields)
    return unpack_array(SHORT, value[: 2 * count]), value[2 * count :]


def pack_postings(counts: dict[int, list[int]]) -> bytes:
    """A row of postings: for each low number, how often in each field."""
    lows = sorted(counts)
    tail = bytes([min(count, COUNT_MAX) for low in lows for count in counts[low]])
    return pack_array(array(SHORT, lows)) + tail


def postings_count(value: bytes, fields: int) -> int:
    return len(value) // (2 + fields)


def with_posting(value: bytes | None, low: int, counts: bytes | None, fields: int) -> bytes | None:
    """A row of postings after one document's counts changed; None: it has none any more."""
    if value is None:
        return None if counts is None else low.to_bytes(2, "little") + counts
    end = len(value) // (2 + fields) * 2
    if counts is not None and value[end - 1] << 8 | value[end - 2] < low:
        # Mostly the document is new, so its number is the highest.
        return value[:end] + low.to_bytes(2, "little") + value[end:] + counts
    lows, tail = postings(value, fields)
    place = bisect_left(lows, low)
    there = place < len(lows) and lows[place] == low
    if there:
        lows.pop(place)
    if counts is not None:
        lows.insert(place, low)
    rest = tail[(place + there) * fields :]
    return pack_array(lows) + tail[: place * fields] + (counts or b"") + rest or None


def with_postings(value: bytes | None, lows: bytes, counts: bytes, fields: int) -> bytes:
    """A row of postings with those of new documents, whose numbers are the highest."""
    if value is None:
        return lows + counts
    end = len(value) // (2 + fields) * 2
    return value[:end] + lows + value[end:] + counts


def lengths(value: bytes | None) -> array[int]:
    """The words of each document of a block, in order of their numbers."""
    return unpack_array(LONG, value or b"")


def with_length(value: bytes | None, low: int, length: int) -> bytes:
    """The lengths of a block after one document's changed."""
    row = value or b""
    row = row.ljust((low + 1) * _WORD_BYTES, b"\0")
    one = pack_array(array(LONG, (min(length, 0xFFFFFFFF),)))
    return row[: low * _WORD_BYTES] + one + row[(low + 1) * _WORD_BYTES :]


class Staged:
    """Rows as they will be: changes over what `read` finds. For several documents in one commit."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.changes: dict[bytes, bytes | None] = {}

    def read(self, key: bytes) -> bytes | None:
        return self.changes[key] if key in self.changes else self._read(key)

    def take(self, changes: Iterable[Change]) -> None:
        """Let later reads see these changes."""
        self.changes.update(changes)
