"""Places on the globe: points, boxes, and the distance between two points.

A point in a document is an object with `latitude` and `longitude` (or `lat` with `lon` or `lng`), a
GeoJSON point, or an array of two numbers: longitude first, as GeoJSON has it. Degrees throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from holdfast.contract.errors import InvalidQuery

EARTH_RADIUS_METERS = 6_371_008.8
"""The mean radius of the earth (IUGG)."""

_LATITUDE_MAX = 90.0
_LONGITUDE_MAX = 180.0


class Point(NamedTuple):
    """A place: degrees north (-90 to 90) and degrees east (-180 to 180)."""

    latitude: float
    longitude: float


class Box(NamedTuple):
    """An area between two meridians and two parallels, its edges among it.

    A box whose west is greater than its east crosses the date line.
    """

    west: float
    south: float
    east: float
    north: float

    def holds(self, place: Point) -> bool:
        """Whether the place lies in the area."""
        if not self.south <= place.latitude <= self.north:
            return False
        east = place.longitude
        if self.west <= self.east:
            inside = self.west <= east <= self.east
            # The date line has two names.
            return inside or (abs(east) == _LONGITUDE_MAX and self.west <= -east <= self.east)
        return east >= self.west or east <= self.east


#: Meters between two points.
Distance = Callable[[Point, Point], float]


def haversine(one: Point, other: Point) -> float:
    """Meters along a great circle of a sphere; within 0.6 % of the distance on the ellipsoid."""
    return meters_from(one)(other.latitude, other.longitude)


def meters_from(one: Point) -> Callable[[float, float], float]:
    """The same from one point to many, each given by latitude and longitude."""
    radians, sin, cos, middle = math.radians, math.sin, math.cos, one.longitude
    north = radians(one.latitude)
    narrowed = cos(north)

    def meters(latitude: float, longitude: float) -> float:
        other_north = radians(latitude)
        across = sin((other_north - north) / 2) ** 2
        along = sin(radians(longitude - middle) / 2) ** 2
        chord = across + narrowed * cos(other_north) * along
        return 2 * EARTH_RADIUS_METERS * math.asin(min(1.0, math.sqrt(chord)))

    return meters


def read_point(value: Any) -> Point | None:
    """The point that a value of a document is, or None when it is none."""
    latitude = longitude = None
    if isinstance(value, dict):
        if value.get("type") == "Point" and "coordinates" in value:
            return read_point(value["coordinates"])
        latitude = value.get("latitude", value.get("lat"))
        longitude = value.get("longitude", value.get("lon", value.get("lng")))
    elif isinstance(value, list) and len(value) == len(Point._fields):
        longitude, latitude = value
    if (
        isinstance(latitude, (int, float))
        and isinstance(longitude, (int, float))
        and not isinstance(latitude, bool)
        and not isinstance(longitude, bool)
        and -_LATITUDE_MAX <= latitude <= _LATITUDE_MAX
        and -_LONGITUDE_MAX <= longitude <= _LONGITUDE_MAX
    ):
        return Point(latitude, longitude)
    return None


def checked_point(latitude: Any, longitude: Any, where: str) -> Point:
    """A point from a query. Raises InvalidQuery when it is none."""
    return Point(
        _degrees(latitude, _LATITUDE_MAX, f"{where}.latitude"),
        _degrees(longitude, _LONGITUDE_MAX, f"{where}.longitude"),
    )


def checked_box(west: Any, south: Any, east: Any, north: Any, *, where: str) -> Box:
    """A box from a query. Raises InvalidQuery when it is none."""
    box = Box(
        _degrees(west, _LONGITUDE_MAX, f"{where}.west"),
        _degrees(south, _LATITUDE_MAX, f"{where}.south"),
        _degrees(east, _LONGITUDE_MAX, f"{where}.east"),
        _degrees(north, _LATITUDE_MAX, f"{where}.north"),
    )
    if box.south > box.north:
        raise InvalidQuery(
            f"{where} wanted south at most north; found them the other way round. Swap the two "
            "(only west may be greater than east: such a box crosses the date line)",
            path=where,
        )
    return box


def checked_meters(meters: Any, where: str) -> float:
    """A distance from a query. Raises InvalidQuery unless it is a number from 0 up."""
    if isinstance(meters, bool) or not isinstance(meters, (int, float)) or not meters >= 0:
        raise InvalidQuery(
            f"{where} wanted meters, a number from 0 up; found {_shown(meters)}. Correct it",
            path=where,
        )
    if math.isinf(meters):
        raise InvalidQuery(
            f"{where} wanted a finite number of meters; found infinity. Leave it out to set none",
            path=where,
        )
    return float(meters)


def _degrees(value: Any, limit: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= limit:
        raise InvalidQuery(
            f"{where} wanted degrees from {-limit:g} to {limit:g}; found {_shown(value)}. "
            "Latitude comes first in calls, longitude first in arrays",
            path=where,
        )
    return float(value)


def _shown(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number outside of that"
    return f"a {type(value).__name__}"
