"""A spatial index: what it writes when a document changes, and which rows hold the places in a box.

The key of a row, without the index's prefix, is the code of a place (8 bytes, see `cells.py`) and
the identifier of the document. Its value has the exact coordinates, latitude and longitude, of each
place of the document with that code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from holdfast.contract.record import Range
from holdfast.documents.geo.cells import (
    CODE_BYTES,
    COLUMNS,
    COVERING_CELLS_MAX,
    ROWS,
    code_at,
    code_of,
    corners,
    covering,
)
from holdfast.documents.geo.shapes import LATITUDE_MAX, LONGITUDE_MAX, Box, is_pair, point_of
from holdfast.documents.query.values import MISSING

#: A row to put, or to delete (None).
Change = tuple[bytes, bytes | None]

_SIMPLE = ("lat", "lon")
_PLACE = struct.Struct(">dd")


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


def simple_entry(value: Any, identifier: bytes) -> tuple[bytes, bytes] | None:
    """The one row of a place that is spelled in the shortest way; None: `entries` tells.

    That is `{"lat": 48.2, "lon": 16.4}`, or with `latitude` and `longitude`.
    """
    if type(value) is not dict or len(value) != len(_SIMPLE):
        return None
    latitude, longitude = value.get("lat"), value.get("lon")
    if latitude is None:
        latitude, longitude = value.get("latitude"), value.get("longitude")
    if (
        type(latitude) is float
        and type(longitude) is float
        and -LATITUDE_MAX <= latitude <= LATITUDE_MAX
        and -LONGITUDE_MAX <= longitude <= LONGITUDE_MAX
    ):
        return _key(code_at(latitude, longitude)) + identifier, _PLACE.pack(latitude, longitude)
    return None


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
    return [Range(start, end) for start, end in spans_of(box, cells_max)]


def spans_of(box: Box, cells_max: int = COVERING_CELLS_MAX) -> list[tuple[bytes, bytes | None]]:
    """The same as pairs: the first key, and the one behind the last."""
    return [
        # Behind the last cell of the earth there is no code.
        (_key(start), _key(end) if end < 1 << 8 * CODE_BYTES else None)
        for start, end in covering(box, cells_max)
    ]


def sieve(box: Box, at: int, *, inside: bool | None) -> Callable[[bytes], bool | None] | None:
    """What tells by the key of a row, whose code stands at `at`, whether its places lie in a box.

    It answers False for those outside, `inside` for those inside, and None where only the exact
    places tell. No function where codes do not tell: at the poles and the date line.
    """
    if not (
        box.south > -LATITUDE_MAX
        and box.north < LATITUDE_MAX
        and -LONGITUDE_MAX < box.west <= box.east < LONGITUDE_MAX
    ):
        return None
    first, last = corners(box)
    south, west, north, east = first & ROWS, first & COLUMNS, last & ROWS, last & COLUMNS
    end, from_bytes = at + CODE_BYTES, int.from_bytes

    def sift(key: bytes) -> bool | None:
        # Bits of one coordinate alone sort as it does, though those of the other lie between.
        code = from_bytes(key[at:end], "big")
        row = code & ROWS
        if not south <= row <= north:
            return False
        column = code & COLUMNS
        if not west <= column <= east:
            return False
        # In a cell at the edge of the box, places lie on either side.
        return inside if south < row < north and west < column < east else None

    return sift


def places_in(value: bytes) -> Iterator[tuple[float, float]]:
    """Latitude and longitude of each place of a row, as the document has them."""
    return _PLACE.iter_unpack(value)


def _places(value: bytes) -> list[bytes]:
    return [value[at : at + _PLACE.size] for at in range(0, len(value), _PLACE.size)]


def _key(code: int) -> bytes:
    return code.to_bytes(CODE_BYTES, "big")
