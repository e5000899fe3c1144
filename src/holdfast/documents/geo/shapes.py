"""Points, boxes and distances on the earth.

Latitudes are degrees from -90 (south) to 90, longitudes degrees from -180 (west) to 180, where
-180 and 180 are the same. A pole is one point with every longitude. Distances are metres along
great circles of a sphere with the earth's mean radius: at most 0.6 % from the true ellipsoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import asin, cos, degrees, radians, sin
from typing import Any, Final

from holdfast.contract.errors import InvalidValue

EARTH_RADIUS_METRES: Final = 6_371_008.8
"""The mean radius of the earth, (2a + b) / 3 of WGS 84."""

LATITUDE_MAX: Final = 90.0
LONGITUDE_MAX: Final = 180.0

_LATITUDE_NAMES = ("lat", "latitude")
_LONGITUDE_NAMES = ("lon", "lng", "longitude")
_GEOJSON_PARTS = (2, 3)


@dataclass(frozen=True, slots=True)
class Point:
    """A place. Raises `InvalidValue` when a coordinate is out of range."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        _check(self.latitude, "latitude", LATITUDE_MAX)
        _check(self.longitude, "longitude", LONGITUDE_MAX)


@dataclass(frozen=True, slots=True)
class Box:
    """From `south` to `north` and from `west` eastwards to `east`; the edges belong to it.

    A box whose west is greater than its east crosses the date line. One that reaches a pole holds
    that pole, whatever its longitudes. Raises `InvalidValue` when it is none.
    """

    south: float
    west: float
    north: float
    east: float

    def __post_init__(self) -> None:
        for name in ("south", "north"):
            _check(getattr(self, name), name, LATITUDE_MAX)
        for name in ("west", "east"):
            _check(getattr(self, name), name, LONGITUDE_MAX)
        if self.south > self.north:
            raise InvalidValue(
                f"a box goes from south to north; found south={self.south} and north={self.north}. "
                "Exchange them"
            )

    def parts(self) -> list[Box]:
        """The same area as boxes that do not cross the date line."""
        if self.west <= self.east:
            return [self]
        return [
            Box(self.south, self.west, self.north, LONGITUDE_MAX),
            Box(self.south, -LONGITUDE_MAX, self.north, self.east),
        ]


def circle_box(center: Point, metres: float) -> Box:
    """The smallest box of latitudes and longitudes that holds every point within `metres`."""
    # A little more, so that rounding leaves nothing out.
    angle = metres / EARTH_RADIUS_METRES * (1 + 1e-12) + 1e-12
    south = center.latitude - degrees(angle)
    north = center.latitude + degrees(angle)
    if south <= -LATITUDE_MAX or north >= LATITUDE_MAX:
        # The circle holds a pole, and so every longitude.
        return Box(
            max(south, -LATITUDE_MAX), -LONGITUDE_MAX, min(north, LATITUDE_MAX), LONGITUDE_MAX
        )
    reach = degrees(asin(min(1.0, sin(angle) / cos(radians(center.latitude))))) + 1e-12
    west, east = center.longitude - reach, center.longitude + reach
    if west < -LONGITUDE_MAX:
        west += 2 * LONGITUDE_MAX
    if east > LONGITUDE_MAX:
        east -= 2 * LONGITUDE_MAX
    return Box(south, west, north, east)


def point_of(value: Any) -> Point:
    """The point that a value of a document means.

    It may be a `Point`, an object with `lat` and `lon` (also `latitude`, `lng`, `longitude`), a
    GeoJSON point `{"type": "Point", "coordinates": [longitude, latitude]}`, or its coordinates
    alone: an array of two numbers, longitude first.

    Raises:
        InvalidValue: it is none of these, or a coordinate is out of range.
    """
    if isinstance(value, Point):
        return value
    if is_pair(value):
        return Point(value[1], value[0])
    if isinstance(value, Mapping):
        if value.get("type") == "Point":
            coordinates = value.get("coordinates")
            if isinstance(coordinates, list | tuple) and len(coordinates) in _GEOJSON_PARTS:
                return Point(coordinates[1], coordinates[0])
        latitudes = [value[name] for name in _LATITUDE_NAMES if name in value]
        longitudes = [value[name] for name in _LONGITUDE_NAMES if name in value]
        if len(latitudes) == len(longitudes) == 1:
            return Point(latitudes[0], longitudes[0])
    raise InvalidValue(
        'a place is an object such as {"lat": 48.2, "lon": 16.4}, or a GeoJSON point '
        '{"type": "Point", "coordinates": [16.4, 48.2]} with the longitude first; '
        f"found a {type(value).__name__} that is neither"
    )


def is_pair(value: Any) -> bool:
    """Whether a value is an array of two numbers."""
    return (
        isinstance(value, list | tuple)
        and len(value) == _GEOJSON_PARTS[0]
        and all(isinstance(part, int | float) and not isinstance(part, bool) for part in value)
    )


def _check(value: Any, name: str, limit: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"a {name} is a number of degrees; found a {type(value).__name__}")
    if not -limit <= value <= limit:
        raise InvalidValue(f"a {name} is from -{limit:g} to {limit:g} degrees; found {value}")
