"""A spatial index: what it writes when a document changes, and what lies within or near.

The key of a row, without the index's prefix, is the code of a place (8 bytes, see `cells.py`) and
the identifier of the document. Its value has the exact coordinates, latitude and longitude, of each
place of the document with that code.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Any, NamedTuple

from holdfast.contract.errors import InvalidInput
from holdfast.contract.record import Range
from holdfast.documents.geo.cells import (
    CODE_BYTES,
    COVERING_CELLS_MAX,
    EARTH,
    LEVELS,
    Cell,
    code_of,
    covering,
)
from holdfast.documents.geo.shapes import (
    Box,
    Point,
    circle_box,
    distance,
    distance_to_box,
    is_pair,
    point_of,
)
from holdfast.documents.query.values import MISSING

#: Reads the rows of a range of the index, in the order of keys; at most `range.limit`.
ScanRange = Callable[[Range], Iterable[tuple[bytes, bytes]]]
#: A row to put, or to delete (None).
Change = tuple[bytes, bytes | None]

CELL_ROWS_MAX = 48
"""A cell with more rows is divided before a search for the nearest looks at all of them."""

_PLACE = struct.Struct(">dd")
#: How much nearer than computed a cell may be, for rounding: of the longest distances, a metre.
_SLACK_METRES = 1.0


class Place(NamedTuple):
    """A place of a document.

    Attributes:
        identifier: the packed key of the document.
        point: the place.
        metres: how far it is from where was asked; 0 if that was a box.
    """

    identifier: bytes
    point: Point
    metres: float


def entries(values: Sequence[Any], identifier: bytes) -> dict[bytes, bytes]:
    """The rows of one document: keys without the index's prefix, and coordinates.

    `values` are those of the field; None and missing have no place. An array is several places, but
    for one of two numbers, which is a longitude and a latitude.

    Raises:
        InvalidValue: a value is no place, or a coordinate is out of range.
    """
    rows: dict[bytes, bytes] = {}
    for value in values:
        several = isinstance(value, list | tuple) and not is_pair(value)
        for one in value if several else (value,):
            if one is None or one is MISSING:
                continue
            point = point_of(one)
            key = _key(code_of(point)) + identifier
            place = _PLACE.pack(point.latitude, point.longitude)
            if place not in _places(rows.get(key, b"")):
                rows[key] = rows.get(key, b"") + place
    return rows


def changes(
    before: Sequence[Any] | None, after: Sequence[Any] | None, identifier: bytes
) -> Iterator[Change]:
    """The rows to delete (None) and to put, when a document changes; None: it is not there."""
    old = {} if before is None else entries(before, identifier)
    new = {} if after is None else entries(after, identifier)
    yield from ((key, None) for key in old if key not in new)
    yield from ((key, value) for key, value in new.items() if old.get(key) != value)


def ranges(box: Box, cells_max: int = COVERING_CELLS_MAX) -> list[Range]:
    """The ranges of rows that hold every place in the box; more places lie in them."""
    return [_range(start, end) for start, end in covering(box, cells_max)]


def within(box: Box, scan: ScanRange) -> Iterator[Place]:
    """The places in the box, in the order of the index. A document may have several."""
    for range in ranges(box):
        for key, value in scan(range):
            for point in _points(value):
                if point in box:
                    yield Place(key[CODE_BYTES:], point, 0.0)


def around(center: Point, metres: float, scan: ScanRange) -> Iterator[Place]:
    """The places at most so far from a point, in the order of the index.

    Raises:
        InvalidInput: `metres` is negative or no number.
    """
    _check_metres(metres)
    for range in ranges(circle_box(center, metres)):
        for key, value in scan(range):
            for point in _points(value):
                far = distance(center, point)
                if far <= metres:
                    yield Place(key[CODE_BYTES:], point, far)


def nearest(center: Point, scan: ScanRange, metres_max: float = math.inf) -> Iterator[Place]:
    """The documents by their distance from a point, nearest first; each once, by its nearest place.

    It looks no further than it must: taking ten reads about what lies as near as the tenth.
    Documents that are equally far come in the order of their identifiers.

    Raises:
        InvalidInput: `metres_max` is negative or no number.
    """
    _check_metres(metres_max)
    # The heap has cells, by the least distance of what may lie in them, and places that were seen.
    # A number in order of arrival keeps the heap from comparing the things themselves.
    heap: list[tuple[float, bytes, int, Place | Cell]] = [(0.0, b"", 0, EARTH)]
    told: set[bytes] = set()
    order = 0
    while heap:
        metres, _, _, item = heappop(heap)
        if metres > metres_max:
            return
        if isinstance(item, Place):
            if item.identifier not in told:
                told.add(item.identifier)
                yield item
            continue
        places = _small(item, center, scan)
        if places is not None:
            for place in places:
                order += 1
                heappush(heap, (place.metres, place.identifier, order, place))
            continue
        for child in item.children():
            order += 1
            least = max(0.0, distance_to_box(center, child.box) - _SLACK_METRES)
            heappush(heap, (least, b"", order, child))


def _small(cell: Cell, center: Point, scan: ScanRange) -> list[Place] | None:
    """The places in a cell; None if they are so many that it is better divided."""
    if cell.level == LEVELS:
        rows = list(scan(_range(cell.start, cell.end)))
    else:
        limit = CELL_ROWS_MAX + 1
        rows = list(islice(scan(_range(cell.start, cell.end, limit)), limit))
        if len(rows) == limit:
            return None
    return [
        Place(key[CODE_BYTES:], point, distance(center, point))
        for key, value in rows
        for point in _points(value)
    ]


def _points(value: bytes) -> Iterator[Point]:
    return (Point(*coordinates) for coordinates in _PLACE.iter_unpack(value))


def _places(value: bytes) -> list[bytes]:
    return [value[at : at + _PLACE.size] for at in range(0, len(value), _PLACE.size)]


def _key(code: int) -> bytes:
    return code.to_bytes(CODE_BYTES, "big")


def _range(start: int, end: int, limit: int | None = None) -> Range:
    # Behind the last cell of the earth there is no code.
    return Range(_key(start), _key(end) if end < 1 << 8 * CODE_BYTES else None, limit=limit)


def _check_metres(metres: float) -> None:
    if not metres >= 0:
        raise InvalidInput(f"a distance is 0 metres or more; found {metres}")
