"""Index keys: values of documents turned into bytes that sort as a query sorts the values.

The order across types, and the first byte of each (the bytes of `codecs/keys.py`, extended):

    missing 02 < null 05 < numbers 09 .. 1d < str 20 < object 28 < array 2c < bytes 30
    < false 40 < true 41 < datetime 48

A number loses the byte that tells int from float, so 1 and 1.0 are one key. An object is its
members by name, an array its elements, a datetime the microseconds of its instant. A descending
component is complemented byte by byte and closed by FF. An entry of an index is

    components   identifier of the document   length of the identifier (2 bytes)

Nothing that follows a component begins with 00, FE or FF. So what continues a component `c` is
the range from `c` to `c FE`, ascending or descending, and every bound below is one range of bytes.

A component that is too long is cut, closed by FE and a digest of the whole: equal values stay
equal keys, other values other keys, and order holds up to the cut. Whoever walks such entries in
order, or bounds a range by such a value, looks at the documents again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, IntFlag
from hashlib import blake2b
from itertools import product
from typing import Any, Final

from holdfast.codecs.keys import pack, pack_text
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue
from holdfast.contract.record import Range, after_prefix

COMPONENT_BYTES_MAX = 128
"""The longest component before it is cut, in bytes, if the index does not say otherwise."""

COMPONENT_BYTES_MIN = 32
"""The shortest limit that an index may set: room for a digest and something that sorts."""

ENTRIES_MAX = 100_000
"""How many entries one document may have in one index."""


class Missing(Enum):
    """The type of `MISSING`, which stands for a field that a document does not have."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

#: The values a field of a document holds where its path leads: several, if it leads through arrays.
Found = Sequence[Any]


class Note(IntFlag):
    """What the value of an index row says of its entry.

    Attributes:
        EXACT: the entry sorts exactly where its value does.
        CUT: a component was cut: neighbours that share the cut may be out of order.
        WHOLE: the entry stands for an array as a whole, beside the entries of its elements; a walk
            in order of the elements passes over it.
    """

    EXACT = 0
    CUT = 1
    WHOLE = 2


@dataclass(frozen=True, slots=True)
class Bound:
    """One span of an index, and whether it holds nothing but what was asked for.

    Attributes:
        range: the entries, without the prefix of the index. It may be empty.
        exact: every entry in the range fulfils the condition; if not, the documents decide.
    """

    range: Range
    exact: bool


_MISSING_TAG = 0x02
_NULL_TAG = 0x05
_NUMBERS = (0x09, 0x1E)
_STRING_TAG = 0x20
_OBJECT = b"\x28"
_ARRAY = b"\x2c"
_BYTES_TAG = 0x30
_BOOLEANS = (0x40, 0x42)
_DATETIME = b"\x48"

_END = b"\0"
#: What closes a component that was cut, and the first byte behind all that continue one.
_CUT = b"\xfe"
_DIGEST_BYTES = 16
_HASH_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COMPLEMENT = bytes(255 - byte for byte in range(256))
#: The row's value for each note.
_NOTES = (b"", b"\x01", b"\x02", b"\x03")
# Plain numbers: arithmetic on members of an enumeration costs more than the encoding.
_EXACT, _CUT_NOTE, _WHOLE = int(Note.EXACT), int(Note.CUT), int(Note.WHOLE)


# --- Values ---------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """The bytes of one value, whole. They sort as values do, and equal values have equal bytes.

    Raises:
        InvalidValue: the value, or a part of it, is NaN, a datetime without a zone, a str with a
            lone surrogate, a mapping with a name that is no str, or of a type that no document has.
    """
    try:
        scalar = _scalar(value)
        return scalar if scalar is not None else _encode_nested(value)
    except InvalidKey as error:
        raise InvalidValue(f"an index cannot hold this value: {error.message}") from error


def _scalar(value: Any) -> bytes | None:
    """The bytes of a value without parts; None for an array or object."""
    if isinstance(value, str):
        return pack_text(value)
    if value is None or isinstance(value, bool | bytes):
        return pack((value,))
    if isinstance(value, int):
        return pack((int(value),))[:-1]
    if isinstance(value, float):
        packed = pack((value,))
        # Infinities have no byte for their type.
        return packed if math.isinf(value) else packed[:-1]
    if isinstance(value, datetime):
        return _encode_datetime(value)
    if value is MISSING:
        return bytes((_MISSING_TAG,))
    if isinstance(value, list | tuple | Mapping):
        return None
    raise InvalidValue(
        "an index holds None, bool, int, float, str, bytes, aware datetimes, and lists and "
        f"objects of these; found a {type(value).__name__}. Store it as one of them"
    )


def _encode_datetime(value: datetime) -> bytes:
    if value.utcoffset() is None:
        raise InvalidValue(
            "an index orders instants, and a datetime without a time zone is none; "
            "give it one, for example value.replace(tzinfo=UTC)"
        )
    return _DATETIME + pack(((value - _EPOCH) // _MICROSECOND,))[:-1]


def _encode_nested(value: Any) -> bytes:
    """An array or object. Not by recursion: documents may nest deeper than Python's stack."""
    parts: list[bytes] = []
    open_: list[Iterator[tuple[bytes, Any]]] = [iter(((b"", value),))]
    while open_:
        for name, part in open_[-1]:
            parts.append(name)
            scalar = _scalar(part)
            if scalar is not None:
                parts.append(scalar)
                continue
            parts.append(_OBJECT if isinstance(part, Mapping) else _ARRAY)
            open_.append(_members(part) if isinstance(part, Mapping) else _elements(part))
            break
        else:
            open_.pop()
            if open_:
                parts.append(_END)
    return b"".join(parts)


def _members(value: Mapping[Any, Any]) -> Iterator[tuple[bytes, Any]]:
    for name in value:
        if not isinstance(name, str):
            raise InvalidValue(
                f"the names in an object are str; found a {type(name).__name__}. Use str(name)"
            )
    return ((pack_text(name), value[name]) for name in sorted(value))


def _elements(value: Sequence[Any]) -> Iterator[tuple[bytes, Any]]:
    return ((b"", element) for element in value)


# --- Components -----------------------------------------------------------------------------


def _shorten(encoded: bytes, whole_max: int) -> bytes:
    """`encoded` itself if it is not too long, else its stem and digest."""
    if len(encoded) <= whole_max:
        return encoded
    return _stem(encoded, whole_max) + blake2b(encoded, digest_size=_DIGEST_BYTES).digest()


def _stem(encoded: bytes, whole_max: int) -> bytes:
    """What all values share that are cut where this one is."""
    return encoded[:whole_max] + _CUT


def _turn(component: bytes) -> bytes:
    """A component for descending order."""
    return component.translate(_COMPLEMENT) + b"\xff"


def _bracket(encoded: bytes) -> tuple[int, int]:
    """The first bytes of all values that compare with this one: from, up to."""
    first = encoded[0]
    for bracket in (_NUMBERS, _BOOLEANS):
        if bracket[0] <= first < bracket[1]:
            return bracket
    return first, first + 1


@dataclass(frozen=True)
class IndexOrder:
    """The keys of one index: which fields descend, and what is left out.

    Attributes:
        descending: for each field of the index, whether it descends.
        sparse: whether a document that has none of the fields is left out.
        component_bytes_max: the longest component. An index keeps its limit for life.
    """

    descending: tuple[bool, ...]
    sparse: bool = False
    component_bytes_max: int = COMPONENT_BYTES_MAX
    #: Longer values are cut here, which leaves room for the digest.
    _whole_max: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.descending:
            raise InvalidInput("an index is over at least one field; found none")
        if self.component_bytes_max < COMPONENT_BYTES_MIN:
            raise InvalidInput(
                f"component_bytes_max is at least {COMPONENT_BYTES_MIN}; "
                f"found {self.component_bytes_max}"
            )
        whole_max = self.component_bytes_max - _DIGEST_BYTES - len(_CUT)
        object.__setattr__(self, "_whole_max", whole_max)

    # Entries.

    def entries(self, found: Sequence[Found], identifier: bytes) -> dict[bytes, bytes]:
        """The rows of one document: keys without the index's prefix, and their notes.

        `found` has the values of each field, none if it is missing; an array counts as each of its
        elements and as a whole. `identifier` is the packed key of the document.

        Raises:
            InvalidValue: a value has no place in an index, or the document has too many entries.
            InvalidInput: there are not as many fields as the index has.
        """
        if len(found) != len(self.descending):
            raise InvalidInput(
                f"the index is over {len(self.descending)} fields; found {len(found)}"
            )
        if self.sparse and all(_is_missing(values) for values in found):
            return {}
        columns = [
            self._column(values, turned)
            for values, turned in zip(found, self.descending, strict=True)
        ]
        count = math.prod(map(len, columns))
        if count > ENTRIES_MAX:
            raise InvalidValue(
                f"a document has at most {ENTRIES_MAX} entries in an index; this one would have "
                f"{count}. Index fewer arrays together",
                entries=count,
            )
        tail = identifier + len(identifier).to_bytes(2, "big")
        if len(columns) == 1:
            return {part + tail: _NOTES[note] for part, note in columns[0].items()}
        entries = {}
        for row in product(*[column.items() for column in columns]):
            note = _EXACT
            for _, one in row:
                note |= one
            entries[b"".join([part for part, _ in row]) + tail] = _NOTES[note]
        return entries

    def changes(
        self, before: Sequence[Found] | None, after: Sequence[Found] | None, identifier: bytes
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """The rows to delete (None) and to put, when a document changes; None: it is not there."""
        old = {} if before is None else self.entries(before, identifier)
        new = {} if after is None else self.entries(after, identifier)
        yield from ((key, None) for key in old if key not in new)
        yield from ((key, value) for key, value in new.items() if old.get(key) != value)

    @staticmethod
    def identifier(key: bytes) -> bytes:
        """The document that an entry is of."""
        length = int.from_bytes(key[-2:], "big")
        return key[-2 - length : -2]

    def _column(self, values: Found, turned: bool) -> dict[bytes, int]:
        column: dict[bytes, int] = {}
        for value in values or (MISSING,):
            if isinstance(value, list | tuple):
                for element in value:
                    self._add(column, element, _EXACT, turned)
                self._add(column, value, _WHOLE if value else _EXACT, turned)
            else:
                self._add(column, value, _EXACT, turned)
        return column

    def _add(self, column: dict[bytes, int], value: Any, note: int, turned: bool) -> None:
        encoded = encode(value)
        component = _shorten(encoded, self._whole_max)
        if component is not encoded:
            note |= _CUT_NOTE
        if turned:
            component = _turn(component)
        # The element [1] of [[1], [[1]]] and a whole array may be one entry: then it is no extra.
        column[component] = note & column.get(component, note)

    # Bounds.

    def equal(self, values: Sequence[Any]) -> Bound:
        """The entries whose first fields hold these values; without values, the whole index.

        `None` is the stored null alone: the condition "equal to null" also holds where the field
        is missing, see `null`.
        """
        prefix, exact = self._prefix(values)
        return Bound(_continuing(prefix), exact)

    def among(self, prefix: Sequence[Any], values: Iterable[Any]) -> list[Bound]:
        """One span for each different value of the field behind `prefix`, in the index's order."""
        bounds = {bound.range.start: bound for bound in (self.equal((*prefix, v)) for v in values)}
        return [bounds[start] for start in sorted(bounds, key=lambda start: start or b"")]

    def null(self, prefix: Sequence[Any]) -> Bound:
        """The entries whose next field is null or missing.

        A sparse index lacks documents that have none of its fields, so there it does not answer
        the condition for the first field.
        """
        head, exact = self._prefix(prefix)
        return Bound(self._bracketed(head, len(prefix), _MISSING_TAG, _NULL_TAG + 1), exact)

    def between(
        self,
        prefix: Sequence[Any],
        low: Any = MISSING,
        high: Any = MISSING,
        *,
        low_open: bool = False,
        high_open: bool = False,
    ) -> Bound:
        """The entries whose next field lies between two values, of the type of these values.

        `MISSING` leaves a side open: up to where the type ends. `low_open` and `high_open`
        exclude the value itself. Of two types that do not compare, the span is empty.
        """
        head, exact = self._prefix(prefix)
        place = len(prefix)
        if low is MISSING and high is MISSING:
            raise InvalidInput("a span has at least one bound; found none. Use equal(prefix)")
        lower = None if low is MISSING else encode(low)
        upper = None if high is MISSING else encode(high)
        first, last = _bracket(lower or upper or b"")
        if lower and upper and _bracket(lower) != _bracket(upper):
            return Bound(Range(head, head), exact)
        span = self._bracketed(head, place, first, last)
        near, near_exact = self._edge(head, place, lower, behind=low_open, upper=False)
        far, far_exact = self._edge(head, place, upper, behind=not high_open, upper=True)
        if self.descending[place]:
            near, far = far, near
        start = span.start if near is None else near
        end = span.end if far is None else far
        return Bound(Range(start, end), exact and near_exact and far_exact)

    def starting(self, prefix: Sequence[Any], text: str) -> Bound:
        """The entries whose next field is a str that begins with `text`."""
        head, exact = self._prefix(prefix)
        component = encode(text)[:-1]
        if len(component) > self._whole_max:
            component, exact = component[: self._whole_max], False
        if self.descending[len(prefix)]:
            component = component.translate(_COMPLEMENT)
        return Bound(Range.prefix(head + component), exact)

    def _prefix(self, values: Sequence[Any]) -> tuple[bytes, bool]:
        parts = []
        exact = True
        for value, turned in zip(values, self.descending, strict=False):
            encoded = encode(value)
            component = _shorten(encoded, self._whole_max)
            exact = exact and component is encoded
            parts.append(_turn(component) if turned else component)
        return b"".join(parts), exact

    def _bracketed(self, head: bytes, place: int, first: int, last: int) -> Range:
        """The entries whose field `place` begins with a byte from `first` up to `last`."""
        if self.descending[place]:
            first, last = 256 - last, 256 - first
        return Range(head + bytes((first,)), head + bytes((last,)))

    def _edge(
        self, head: bytes, place: int, encoded: bytes | None, *, behind: bool, upper: bool
    ) -> tuple[bytes | None, bool]:
        """The key where a span starts or ends, in the order of this index; whether it is exact.

        `behind`: the edge lies above the entries of the value itself.
        """
        if encoded is None:
            return None, True
        exact = len(encoded) <= self._whole_max
        if not exact:
            # Every value that shares the cut may lie on either side: all of them are inside.
            encoded, behind = _stem(encoded, self._whole_max), upper
        if not self.descending[place]:
            component = head + encoded
            return (_behind(component, exact) if behind else component), exact
        component = head + encoded.translate(_COMPLEMENT) + (b"\xff" if exact else b"")
        return (component if behind else _behind(component, exact)), exact


def hash_entries(found: Sequence[Found], identifier: bytes) -> dict[bytes, bytes]:
    """The rows of one document in a hash index: equality only, keys of one length."""
    tail = identifier + len(identifier).to_bytes(2, "big")
    columns = [_hashable(values) for values in found]
    if math.prod(map(len, columns)) > ENTRIES_MAX:
        raise InvalidValue(f"a document has at most {ENTRIES_MAX} entries in an index")
    return {hash_key(row) + tail: b"" for row in product(*columns)}


def hash_key(values: Sequence[Any]) -> bytes:
    """What all entries of a hash index begin with whose fields equal `values`."""
    encoded = [encode(value) for value in values]
    lengths = b"".join([len(one).to_bytes(8, "big") for one in encoded])
    return blake2b(lengths + b"".join(encoded), digest_size=_HASH_BYTES).digest()


def _hashable(values: Found) -> list[Any]:
    return [
        part
        for value in values or (MISSING,)
        for part in ((*value, value) if isinstance(value, list | tuple) else (value,))
    ]


def _is_missing(values: Found) -> bool:
    return all(value is MISSING for value in values)


def _continuing(component: bytes) -> Range:
    """Every entry that begins with whole components; not those of longer or cut ones."""
    return Range(component, component + _CUT) if component else Range()


def _behind(component: bytes, exact: bool) -> bytes | None:
    # Behind a cut anything follows: its digest.
    return component + _CUT if exact else after_prefix(component)
