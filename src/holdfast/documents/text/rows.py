"""The rows of a full-text index, byte by byte, and how they are read.

    key (without the index's prefix)    value
    a                                   documents, words, next number: 8 bytes each
    d  identifier                       the document's number, 4 bytes
    f  number (4)                       length of the identifier (2), identifier, terms in places
    l  block (4)                        the words of each document of a block, 4 bytes each
    t  term  00  block (4)              the postings of a term in a block

Documents are numbered as they come, and 1,024 numbers are a block: so a row of postings is found
without a search, and is bounded. It has the low part of each number, 2 bytes each, and behind
them all how often the term stands in each field, a byte each. Terms in places are msgpack: the
different terms, and for each field an array of their positions in that list, counted from 1; 0 is
a stop word, the highest number a border that no phrase crosses.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from holdfast.contract.errors import DeserializationFailed

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

COUNT_MAX = 255
"""More occurrences of a term in one field count as this many; the score hardly grows any more."""

STATISTICS_KEY = b"a"
_NUMBER = b"d"
_FORWARD = b"f"
_LENGTHS = b"l"
_TERM = b"t"
_TERM_END = b"\0"
_STATISTICS = struct.Struct(">QQQ")
_WORD_BYTES = 4
_SHORT = "H"
_LONG = "I"
_BORDERS = {_SHORT: 0xFFFF, _LONG: 0xFFFFFFFF}
_BIG_ENDIAN = sys.byteorder == "big"


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


class Forward(NamedTuple):
    """What one document holds.

    Attributes:
        terms: its different terms.
        places: for each field, the terms in their places as numbers: see `rows`.
    """

    terms: list[str]
    places: list[bytes]

    @property
    def code(self) -> str:
        """The type code of the arrays in `places`."""
        return _SHORT if len(self.terms) < _BORDERS[_SHORT] else _LONG

    @property
    def border(self) -> int:
        """What stands in `places` between two texts of a field."""
        return _BORDERS[self.code]

    def field(self, place: int) -> array[int]:
        """The places of one field."""
        return _array(self.code, self.places[place])

    def counts(self) -> tuple[dict[str, bytes], int]:
        """How often each term stands in each field, as in postings; and the number of words."""
        counted = [[0] * len(self.places) for _ in self.terms]
        total = 0
        border = self.border
        for field in range(len(self.places)):
            for number in self.field(field):
                if number and number != border:
                    total += 1
                    counted[number - 1][field] += 1
        return {
            term: bytes([min(count, COUNT_MAX) for count in row])
            for term, row in zip(self.terms, counted, strict=True)
        }, total


def forward_of(fields: Iterable[Iterable[list[str]]]) -> Forward:
    """The document of these terms: for each field its texts, each the terms in their places."""
    numbers: dict[str, int] = {"": 0}
    rows: list[list[int]] = []
    for texts in fields:
        row: list[int] = []
        for terms in texts:
            if row:
                row.append(-1)
            row += [numbers.setdefault(term, len(numbers)) for term in terms]
        rows.append(row)
    del numbers[""]
    code = _SHORT if len(numbers) < _BORDERS[_SHORT] else _LONG
    border = _BORDERS[code]
    if any(-1 in row for row in rows):
        rows = [[border if number < 0 else number for number in row] for row in rows]
    return Forward(list(numbers), [_bytes(array(code, row)) for row in rows])


def number_key(identifier: bytes) -> bytes:
    return _NUMBER + identifier


def forward_key(number: int) -> bytes:
    return _FORWARD + number.to_bytes(4, "big")


def lengths_key(block: int) -> bytes:
    return _LENGTHS + block.to_bytes(4, "big")


def term_prefix(term: str) -> bytes:
    """What all postings of a term begin with."""
    return _TERM + term.encode() + _TERM_END


def terms_prefix(beginning: str) -> bytes:
    """What all postings begin with whose terms begin so."""
    return _TERM + beginning.encode()


def postings_key(term: str, block: int) -> bytes:
    return term_prefix(term) + block.to_bytes(4, "big")


def split_postings_key(key: bytes) -> tuple[bytes, int]:
    """(term, block) of a row of postings; the term as it stands in the key."""
    return key[len(_TERM) : -5], int.from_bytes(key[-4:], "big")


def pack_forward(identifier: bytes, forward: Forward) -> bytes:
    body = msgspec.msgpack.encode((forward.terms, forward.places))
    return len(identifier).to_bytes(2, "big") + identifier + body


def forward_identifier(value: bytes) -> bytes:
    """The document that a forward row is of."""
    return value[2 : 2 + int.from_bytes(value[:2], "big")]


def unpack_forward(value: bytes) -> Forward:
    """Raises `DeserializationFailed` when the bytes are damaged."""
    try:
        terms, places = _decode_forward(value[2 + int.from_bytes(value[:2], "big") :])
    except msgspec.DecodeError as error:
        raise DeserializationFailed(
            "a row of a full-text index is damaged. Drop the index and create it again"
        ) from error
    return Forward(terms, places)


_decode_forward = msgspec.msgpack.Decoder(tuple[list[str], list[bytes]]).decode


# --- Postings and lengths -------------------------------------------------------------------


def postings(value: bytes, fields: int) -> tuple[array[int], bytes]:
    """The low parts of the numbers, ascending, and the counts, `fields` bytes for each."""
    count = len(value) // (2 + fields)
    return _array(_SHORT, value[: 2 * count]), value[2 * count :]


def pack_postings(counts: dict[int, list[int]]) -> bytes:
    """A row of postings: for each low number, how often in each field."""
    lows = sorted(counts)
    tail = bytes([min(count, COUNT_MAX) for low in lows for count in counts[low]])
    return _bytes(array(_SHORT, lows)) + tail


def postings_count(value: bytes, fields: int) -> int:
    return len(value) // (2 + fields)


def with_posting(value: bytes | None, low: int, counts: bytes | None, fields: int) -> bytes | None:
    """A row of postings after one document's counts changed; None: it has none any more."""
    lows, tail = postings(value or b"", fields)
    place = _bisect(lows, low)
    there = place < len(lows) and lows[place] == low
    if there:
        lows.pop(place)
    if counts is not None:
        lows.insert(place, low)
    rest = tail[(place + there) * fields :]
    return _bytes(lows) + tail[: place * fields] + (counts or b"") + rest or None


def _bisect(lows: array[int], low: int) -> int:
    # New documents come last: mostly there is nothing to look for.
    return len(lows) if not lows or lows[-1] < low else bisect_left(lows, low)


def lengths(value: bytes | None) -> array[int]:
    """The words of each document of a block, in order of their numbers."""
    return _array(_LONG, value or b"")


def with_length(value: bytes | None, low: int, length: int) -> bytes:
    """The lengths of a block after one document's changed."""
    row = value or b""
    row = row.ljust((low + 1) * _WORD_BYTES, b"\0")
    one = _bytes(array(_LONG, (min(length, 0xFFFFFFFF),)))
    return row[: low * _WORD_BYTES] + one + row[(low + 1) * _WORD_BYTES :]


# Stored little-endian, so that the common machines read them as they are.


def _array(code: str, value: bytes) -> array[int]:
    numbers: array[int] = array(code, value)
    if _BIG_ENDIAN:
        numbers.byteswap()
    return numbers


def _bytes(numbers: array[int]) -> bytes:
    if _BIG_ENDIAN:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


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
