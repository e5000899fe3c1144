"""Entries of an index: components by field, the document they are of, and bounds over them.

An entry is

    components   identifier of the document   length of the identifier (2 bytes)

A component is the encoded value of one field (`ordering.py`). Descending, it is complemented byte
by byte and closed by FF. Nothing that follows a component begins with 00, FE or FF, so what
continues a component `c` is the range from `c` to `c FE` in either direction, and every bound is
one range of bytes.

Of equal entries the identifiers ascend, or descend if the first field does: so an index walked
backwards is the whole order turned round, ties included. An identifier that descends is written as
a descending component is.

A component that is too long is cut, closed by FE and a digest of the whole: equal values stay
equal keys, other values other keys, and order holds up to the cut. Whoever walks such entries in
order, or bounds a range by such a value, looks at the documents again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from hashlib import blake2b
from itertools import product
from typing import Any

from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.contract.record import Range, after_prefix
from holdfast.documents.ordering import NULL, bracket, encode
from holdfast.documents.query.values import MISSING

COMPONENT_BYTES_MAX = 128
"""The longest component before it is cut, in bytes, if the index does not say otherwise."""

COMPONENT_BYTES_MIN = 32
"""The shortest limit that an index may set: room for a digest and something that sorts."""

ENTRIES_MAX = 100_000
"""How many entries one document may have in one index."""

#: The values a field of a document holds where its path leads: several, if it leads through arrays.
Found = Sequence[Any]


class Note(IntFlag):
    """What the value of an index row says of its entry.

    Attributes:
        EXACT: the entry sorts exactly where its value does.
        CUT: a component was cut: neighbours that share the cut may be out of order.
        WHOLE: the entry stands for an array as a whole, beside the entries of its elements; a walk
            in order of the elements passes over it.
        MISSING: a field is missing; it sorts as null.
        NOTHING: a field holds empty arrays alone, or its path ends inside values; it sorts as
            null and equals nothing.
    """

    EXACT = 0
    CUT = 1
    WHOLE = 2
    MISSING = 4
    NOTHING = 8


@dataclass(frozen=True, slots=True)
class Bound:
    """One span of an index, and whether it holds nothing but what was asked for.

    Attributes:
        range: the entries, without the prefix of the index. It may be empty.
        exact: every entry in the range fulfils the condition; if not, the documents decide.
    """

    range: Range
    exact: bool


#: What closes a component that was cut, and the first byte behind all that continue one.
CUT_END = b"\xfe"
_DIGEST_BYTES = 16
_COMPLEMENT = bytes(255 - byte for byte in range(256))
#: The row's value for each note.
_NOTES = (b"", *[bytes((note,)) for note in range(1, 16)])
# Plain numbers: arithmetic on members of an enumeration costs more than the encoding.
_EXACT, _CUT_NOTE, _WHOLE = int(Note.EXACT), int(Note.CUT), int(Note.WHOLE)
#: Types of which a value is one entry, in a sparse index too.
SINGLE = frozenset((str, int, float))
_MISSING, _NOTHING = int(Note.MISSING), int(Note.NOTHING)


def _shorten(encoded: bytes, whole_max: int) -> bytes:
    """`encoded` itself if it is not too long, else its stem and digest."""
    if len(encoded) <= whole_max:
        return encoded
    return _stem(encoded, whole_max) + blake2b(encoded, digest_size=_DIGEST_BYTES).digest()


def _stem(encoded: bytes, whole_max: int) -> bytes:
    """What all values share that are cut where this one is."""
    return encoded[:whole_max] + CUT_END


def _turn(component: bytes) -> bytes:
    """A component for descending order."""
    return component.translate(_COMPLEMENT) + b"\xff"


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
        whole_max = self.component_bytes_max - _DIGEST_BYTES - len(CUT_END)
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
        if len(found) == 1 and len(found[0]) == 1 and type(found[0][0]) in SINGLE:
            # Most indexes are of one field, most fields are of one value.
            component, note = self._component(found[0][0], _EXACT, self.descending[0])
            return {component + self.tail(identifier): _NOTES[note]}
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
                f"{count}. Index fewer arrays together"
            )
        tail = self.tail(identifier)
        if len(columns) == 1:
            return {part + tail: _NOTES[note] for part, note in columns[0]}
        entries = {}
        for row in product(*columns):
            note = _EXACT
            for _, one in row:
                note |= one
            entries[b"".join([part for part, _ in row]) + tail] = _NOTES[note]
        return entries

    def whole_entries(
        self, columns: Sequence[Sequence[Any]], identifiers: Sequence[bytes]
    ) -> list[bytes | None]:
        """The key of the one row of each document, whose note is EXACT, as `entries` makes it.

        `columns` has for each field its value in each document. None for a document of which
        `entries` has to be asked: a value is no text or number, or too long.
        """
        parts: list[list[bytes]] = []
        for column, turned in zip(columns, self.descending, strict=True):
            encoded = [encode(value) if type(value) in SINGLE else b"" for value in column]
            if max(map(len, encoded), default=0) > self._whole_max:
                encoded = [one if len(one) <= self._whole_max else b"" for one in encoded]
            parts.append([one and _turn(one) for one in encoded] if turned else encoded)
        tails = map(self.tail, identifiers)
        if len(parts) == 1:
            return [one + tail if one else None for one, tail in zip(parts[0], tails, strict=True)]
        rows = zip(zip(*parts, strict=True), tails, strict=True)
        return [b"".join(row) + tail if all(row) else None for row, tail in rows]

    def changes(
        self, before: Sequence[Found] | None, after: Sequence[Found] | None, identifier: bytes
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """The rows to delete (None) and to put, when a document changes; None: it is not there."""
        old = {} if before is None else self.entries(before, identifier)
        new = {} if after is None else self.entries(after, identifier)
        yield from ((key, None) for key in old if key not in new)
        yield from ((key, value) for key, value in new.items() if old.get(key) != value)

    def tail(self, identifier: bytes) -> bytes:
        """What stands behind the components in the entries of a document."""
        length = len(identifier).to_bytes(2, "big")
        return (_turn(identifier) if self.descending[0] else identifier) + length

    def identifier(self, key: bytes) -> bytes:
        """The document that an entry is of."""
        length = int.from_bytes(key[-2:], "big")
        if self.descending[0]:
            return key[-3 - length : -3].translate(_COMPLEMENT)
        return key[-2 - length : -2]

    def _column(self, values: Found, turned: bool) -> Collection[tuple[bytes, int]]:
        """The components of one field, each once, and their notes."""
        if len(values) == 1 and not isinstance(values[0], list | tuple):
            return (self._component(values[0], _EXACT, turned),)
        column: dict[bytes, int] = {}
        if all(isinstance(value, list | tuple) and not value for value in values):
            component, note = self._component(None, _NOTHING, turned)
            column[component] = note
        for value in values:
            parts = [(value, _EXACT)]
            if isinstance(value, list | tuple):
                parts = [(element, _EXACT) for element in value]
                parts.append((value, _WHOLE))
            for part, note in parts:
                component, note = self._component(part, note, turned)  # noqa: PLW2901
                # An element of one array may be another array as a whole: then it is an element.
                column[component] = note & column.get(component, note)
        return column.items()

    def _component(self, value: Any, note: int, turned: bool) -> tuple[bytes, int]:
        encoded = encode(value)
        component = _shorten(encoded, self._whole_max)
        if component is not encoded:
            note |= _CUT_NOTE
        elif value is MISSING:
            note |= _MISSING
        return (_turn(component) if turned else component), note

    # Bounds.

    def equal(self, values: Sequence[Any]) -> Bound:
        """The entries whose first fields hold these values; without values, the whole index.

        With `None` among the values these are the null and the missing, and the bound is not
        exact: of an entry with the note NOTHING, no field equals null. A sparse index lacks the
        documents that have none of its fields, so it does not answer `None` for all of them.
        """
        prefix, exact = self.components(values)
        return Bound(_continuing(prefix), exact)

    def among(self, prefix: Sequence[Any], values: Iterable[Any]) -> list[Bound]:
        """One span for each different value of the field behind `prefix`, in the index's order."""
        bounds = {bound.range.start: bound for bound in (self.equal((*prefix, v)) for v in values)}
        return [bounds[start] for start in sorted(bounds, key=lambda start: start or b"")]

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
        start, end, exact = self.edges(prefix, low, high, low_open=low_open, high_open=high_open)
        return Bound(Range(start, end), exact)

    def edges(
        self,
        prefix: Sequence[Any],
        low: Any,
        high: Any,
        *,
        low_open: bool = False,
        high_open: bool = False,
    ) -> tuple[bytes, bytes | None, bool]:
        """The same without objects for it: the first key, the one behind, and whether exact."""
        head, exact = self.components(prefix)
        place = len(prefix)
        if low is MISSING and high is MISSING:
            raise InvalidInput("a span has at least one bound; found none. Use equal(prefix)")
        lower = None if low is MISSING else encode(low)
        upper = None if high is MISSING else encode(high)
        first, last = bracket(lower or upper or b"")
        if lower and upper and bracket(lower) != bracket(upper):
            return head, head, exact
        start, end = self._bracketed(head, place, first, last)
        near = far = None
        if lower is not None:
            near, whole = self._edge(head, place, lower, behind=low_open, upper=False)
            exact = exact and whole and lower != NULL
        if upper is not None:
            far, whole = self._edge(head, place, upper, behind=not high_open, upper=True)
            exact = exact and whole and upper != NULL
        if self.descending[place]:
            near, far = far, near
        return start if near is None else near, end if far is None else far, exact

    def starting(self, prefix: Sequence[Any], text: str) -> Bound:
        """The entries whose next field is a str that begins with `text`."""
        head, exact = self.components(prefix)
        component = encode(text)[:-1]
        if len(component) > self._whole_max:
            component, exact = component[: self._whole_max], False
        if self.descending[len(prefix)]:
            component = component.translate(_COMPLEMENT)
        return Bound(Range.prefix(head + component), exact)

    def components(self, values: Sequence[Any]) -> tuple[bytes, bool]:
        """What the entries begin with whose first fields are these; whether no other's do."""
        if not values:
            return b"", True
        if len(values) == 1 and not self.descending[0]:
            encoded = encode(values[0])
            if len(encoded) <= self._whole_max:
                return encoded, encoded != NULL
            return _shorten(encoded, self._whole_max), False
        parts = []
        exact = True
        for value, turned in zip(values, self.descending, strict=False):
            encoded = encode(value)
            component = _shorten(encoded, self._whole_max)
            exact = exact and component is encoded and encoded != NULL
            parts.append(_turn(component) if turned else component)
        return b"".join(parts), exact

    def component(self, value: Any, place: int) -> bytes | None:
        """What entries hold for this value of one field; None where it would be cut."""
        encoded = encode(value)
        if len(encoded) > self._whole_max:
            return None
        return _turn(encoded) if self.descending[place] else encoded

    def _bracketed(self, head: bytes, place: int, first: int, last: int) -> tuple[bytes, bytes]:
        """The entries whose field `place` begins with a byte from `first` up to `last`."""
        if self.descending[place]:
            first, last = 256 - last, 256 - first
        return head + bytes((first,)), head + bytes((last,))

    def _edge(
        self, head: bytes, place: int, encoded: bytes, *, behind: bool, upper: bool
    ) -> tuple[bytes | None, bool]:
        """The key where a span starts or ends, in the order of this index; whether it is exact.

        `behind`: the edge lies above the entries of the value itself.
        """
        exact = len(encoded) <= self._whole_max
        if not exact:
            # Every value that shares the cut may lie on either side: all of them are inside.
            encoded, behind = _stem(encoded, self._whole_max), upper
        if not self.descending[place]:
            component = head + encoded
            return (_behind(component, exact) if behind else component), exact
        component = head + encoded.translate(_COMPLEMENT) + (b"\xff" if exact else b"")
        return (component if behind else _behind(component, exact)), exact


def _is_missing(values: Found) -> bool:
    return all(value is MISSING for value in values)


def _continuing(component: bytes) -> Range:
    """Every entry that begins with whole components; not those of longer or cut ones."""
    return Range(component, component + CUT_END) if component else Range()


def _behind(component: bytes, exact: bool) -> bytes | None:
    # Behind a cut anything follows: its digest.
    return component + CUT_END if exact else after_prefix(component)
