"""What one document holds: its terms, and where they stand.

The row of a document in the index is

    length of the identifier (2), identifier, width (1), fields (1), terms that gave way (1),
    bytes of each field's places (4 each), the places, the terms as UTF-8 with 00 between

A place is a code of `width` bytes. Code 0 is a stop word, the highest a border between two texts,
which no phrase crosses. A term's code is its checksum; where two terms of the document would share
one, the later gives way to the next free code. So for most documents a phrase is found by looking
for a few bytes, and the terms need not be read.
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from zlib import crc32

from holdfast.contract.errors import DeserializationFailed
from holdfast.documents.text.arrays import LONG, SHORT, pack_array, unpack_array

COUNT_MAX = 255
"""More occurrences of a term in one field count as this many; the score hardly grows any more."""

CHECKSUMS_REMEMBERED_MAX = 65_536
"""How many terms' checksums are remembered."""

#: Above so many terms of a document too many would share a checksum of two bytes.
_SHORT_TERMS_MAX = 4096
_HEAD = struct.Struct(">BBB")
_SIZE = struct.Struct(">I")
_BETWEEN = b"\0"
_COUNTS = [bytes((count,)) for count in range(COUNT_MAX + 1)]


@dataclass(frozen=True)
class Forward:
    """What one document holds.

    Attributes:
        width: the bytes of a code: 2, or 4 if it has very many terms.
        moved: whether a term has another code than its checksum.
        places: for each field, the codes of its terms in their places.
        packed_terms: the different terms, with 00 between.
    """

    width: int
    moved: bool
    places: tuple[bytes, ...]
    packed_terms: bytes

    @property
    def border(self) -> int:
        """The code that stands between two texts of a field."""
        return (1 << 8 * self.width) - 1

    @cached_property
    def terms(self) -> list[str]:
        """The different terms."""
        packed = self.packed_terms
        return [term.decode() for term in packed.split(_BETWEEN)] if packed else []

    @cached_property
    def codes(self) -> dict[str, int]:
        """The code of each term."""
        if self.moved:
            return _assign(self.terms, self.border)[0]
        return {term: code_of(term, self.border) for term in self.terms}

    def field(self, place: int) -> array[int]:
        """The codes of one field."""
        return unpack_array(SHORT if self.width == 2 else LONG, self.places[place])  # noqa: PLR2004

    @cached_property
    def counts(self) -> dict[str, bytes]:
        """How often each term stands in each field, a byte each."""
        terms = {code: term for term, code in self.codes.items()}
        return _counts(
            [
                Counter([terms[code] for code in self.field(field) if code in terms])
                for field in range(len(self.places))
            ]
        )

    @cached_property
    def words(self) -> int:
        """How many words it has, without stop words."""
        skipped = (0, self.border)
        return sum(
            sum([code not in skipped for code in self.field(field)])
            for field in range(len(self.places))
        )

    def pack(self, identifier: bytes) -> bytes:
        """The row of the document."""
        return b"".join(
            (
                len(identifier).to_bytes(2, "big"),
                identifier,
                _HEAD.pack(self.width, len(self.places), self.moved),
                *[_SIZE.pack(len(places)) for places in self.places],
                *self.places,
                self.packed_terms,
            )
        )


def identifier_of(row: bytes) -> bytes:
    """The document that a row is of."""
    return row[2 : 2 + int.from_bytes(row[:2], "big")]


def unpack(row: bytes) -> Forward:
    """What `Forward.pack` packed. Raises `DeserializationFailed` when the bytes are damaged."""
    return Forward(*unpack_parts(row))


def unpack_parts(row: bytes) -> tuple[int, bool, tuple[bytes, ...], bytes]:
    """(width, moved, places, packed terms): `Forward` without the cost of making one."""
    position = 2 + int.from_bytes(row[:2], "big")
    try:
        width, fields, moved = _HEAD.unpack_from(row, position)
        start = position + _HEAD.size
        sizes = [_SIZE.unpack_from(row, start + 4 * field)[0] for field in range(fields)]
    except struct.error as error:
        raise DeserializationFailed(
            "a row of a full-text index is damaged. Drop the index and create it again"
        ) from error
    position = start + 4 * fields
    places = []
    for size in sizes:
        places.append(row[position : position + size])
        position += size
    return width, bool(moved), tuple(places), row[position:]


def forward_of(fields: Iterable[Iterable[list[str]]]) -> Forward:
    """The document of these terms: for each field its texts, each the terms in their places."""
    rows = [list(texts) for texts in fields]
    counters = [Counter(chain.from_iterable(texts)) for texts in rows]
    for counter in counters:
        counter.pop("", None)
    terms = dict.fromkeys(chain.from_iterable(counters))
    width = 2 if len(terms) <= _SHORT_TERMS_MAX else 4
    border = (1 << 8 * width) - 1
    codes, moved = _assign(terms, border)
    places = []
    codes[""] = 0
    for texts in rows:
        row = [codes[term] for term in texts[0]] if texts else []
        for text in texts[1:]:
            row.append(border)
            row += [codes[term] for term in text]
        places.append(pack_array(array(SHORT if width == 2 else LONG, row)))  # noqa: PLR2004
    del codes[""]
    forward = Forward(width, moved, tuple(places), "\0".join(terms).encode())
    # What is known already need not be read out of the bytes again.
    known = {
        "codes": codes,
        "counts": _counts(counters),
        "words": sum(map(Counter.total, counters)),
    }
    forward.__dict__.update(known)
    return forward


def _counts(counters: list[Counter[str]]) -> dict[str, bytes]:
    if len(counters) == 1:
        (counter,) = counters
        if max(counter.values(), default=0) <= COUNT_MAX:
            return {term: _COUNTS[count] for term, count in counter.items()}
        return {term: _COUNTS[min(count, COUNT_MAX)] for term, count in counter.items()}
    terms = dict.fromkeys(chain.from_iterable(counters))
    return {term: bytes([min(counter[term], COUNT_MAX) for counter in counters]) for term in terms}


def code_of(term: str, border: int) -> int:
    """The code of a term whose checksum is free."""
    return 1 + _checksum(term) % (border - 1)


@lru_cache(CHECKSUMS_REMEMBERED_MAX)
def _checksum(term: str) -> int:
    return crc32(term.encode())


def _assign(terms: Collection[str], border: int) -> tuple[dict[str, int], bool]:
    """The code of each term, and whether one gave way."""
    checksum, span = _checksum, border - 1
    first = [1 + checksum(term) % span for term in terms]
    codes = dict(zip(terms, first, strict=True))
    taken = set(first)
    if len(taken) == len(first):
        return codes, False
    taken.clear()
    for term, code in codes.items():
        free = code
        while free in taken:
            free = 1 + free % span
        taken.add(free)
        codes[term] = free
    return codes, True
