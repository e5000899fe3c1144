"""Distances, boxes over the date line and the poles, and values that are no places."""

import math
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from holdfast.contract.errors import InvalidValue
from holdfast.documents.geo.cells import EARTH, LEVELS, code_of, covering
from holdfast.documents.geo.shapes import (
    EARTH_RADIUS_METRES,
    Box,
    Point,
    circle_box,
    point_of,
)
from tests.documents.geo.places import BOXES, POINTS, distance, holds

QUARTER = math.pi / 2 * EARTH_RADIUS_METRES
DEGREE = QUARTER / 90


@pytest.mark.row("trap 36")
@pytest.mark.parametrize(
    ("one", "other", "metres"),
    [
        ((0, 0), (0, 0), 0.0),
        ((0, 0), (0, 1), DEGREE),
        ((0, 0), (1, 0), DEGREE),
        ((0, 0), (0, 180), 2 * QUARTER),
        ((0, 0), (90, 77), QUARTER),
        ((90, 0), (-90, 123), 2 * QUARTER),
        ((90, 10), (90, -170), 0.0),
        ((10, 180), (10, -180), 0.0),
        ((0, 179.5), (0, -179.5), DEGREE),
        # An equilateral octant of the sphere: every side is a quarter.
        ((0, 0), (0, 90), QUARTER),
        # 60 degrees north, half a degree of longitude is half as far (to 1e-5).
        ((60, 10), (60, 10.001), DEGREE / 2000),
    ],
)
def test_distances_that_geometry_knows(
    one: tuple[float, float], other: tuple[float, float], metres: float
) -> None:
    assert distance(Point(*one), Point(*other)) == pytest.approx(metres, rel=1e-6, abs=1e-6)
    assert distance(Point(*other), Point(*one)) == distance(Point(*one), Point(*other))


@pytest.mark.row("trap 36")
@pytest.mark.parametrize(
    ("one", "other", "geodesic"),
    [
        # Kilometres on the WGS 84 ellipsoid between airports and cities, to the kilometre.
        ((51.4700, -0.4543), (40.6413, -73.7781), 5555),  # Heathrow, Kennedy
        ((35.5494, 139.7798), (37.6213, -122.3790), 8289),  # Haneda, San Francisco
        ((-33.9399, 151.1753), (-33.3930, -70.7858), 11_350),  # Sydney, Santiago
        ((48.8566, 2.3522), (52.5200, 13.4050), 878),  # Paris, Berlin
    ],
)
def test_distances_are_within_six_in_a_thousand_of_the_ellipsoid(
    one: tuple[float, float], other: tuple[float, float], geodesic: float
) -> None:
    assert distance(Point(*one), Point(*other)) / 1000 == pytest.approx(geodesic, rel=0.006)


@given(BOXES, POINTS)
@example(Box(-1, 170, 1, 180), Point(0, -180))
@example(Box(80, 0, 90, 10), Point(90, 123))
def test_every_point_of_a_box_has_its_code_in_a_bounded_covering(box: Box, point: Point) -> None:
    for cells_max in (4, 16, 64):
        spans = covering(box, cells_max)
        assert 1 <= len(spans) <= cells_max
        assert all(first < end for first, end in spans)
        assert spans == sorted(spans)
        if holds(box, point):
            assert any(first <= code_of(point) < end for first, end in spans)


def test_a_small_box_is_covered_by_little() -> None:
    vienna = Box(48.1, 16.2, 48.3, 16.5)
    size = sum(end - first for first, end in covering(vienna))
    share = (0.2 / 180) * (0.3 / 360) * (1 << 2 * LEVELS)
    assert share <= size < 2.5 * share
    assert covering(Box(-90, -180, 90, 180)) == [(0, 1 << 2 * LEVELS)]


@given(POINTS, st.integers(0, LEVELS))
def test_the_cells_of_a_code_hold_its_point_and_divide_into_four(point: Point, level: int) -> None:
    code = code_of(point)
    cell = EARTH
    while cell.level < level:
        assert [child.start for child in cell.children()][1:] == [
            child.end for child in cell.children()
        ][:-1]
        assert cell.children()[0].start == cell.start
        assert cell.children()[3].end == cell.end
        (cell,) = [child for child in cell.children() if child.start <= code < child.end]
    assert code_of(point) >> 2 * (LEVELS - level) == cell.start >> 2 * (LEVELS - level)


@given(POINTS, st.floats(0, 21_000_000), POINTS)
def test_the_box_of_a_circle_holds_the_circle(center: Point, metres: float, point: Point) -> None:
    assume(distance(center, point) <= metres)
    box = circle_box(center, metres)
    # On the edge itself, rounding decides.
    assert holds(box, point) or metres - distance(center, point) < 1e-3


@pytest.mark.parametrize(
    "value",
    [
        {"lat": 48.2, "lon": 16.4},
        {"latitude": 48.2, "longitude": 16.4, "name": "Vienna"},
        {"lat": 48.2, "lng": 16.4},
        {"type": "Point", "coordinates": [16.4, 48.2]},
        {"type": "Point", "coordinates": (16.4, 48.2, 151.0)},
        [16.4, 48.2],
        Point(48.2, 16.4),
    ],
)
def test_ways_to_write_a_place(value: Any) -> None:
    assert point_of(value) == Point(48.2, 16.4)


@pytest.mark.row("trap 36")
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"lat": 90.1, "lon": 0}, "-90 to 90 degrees; found 90.1"),
        ({"lat": 0, "lon": -180.5}, "-180 to 180"),
        ({"lat": float("nan"), "lon": 0}, "nan"),
        ({"lat": float("inf"), "lon": 0}, "inf"),
        ({"lat": 10**400, "lon": 0}, "-90 to 90"),
        ({"lat": "48", "lon": 0}, "found a str"),
        ({"lat": True, "lon": 0}, "found a bool"),
        ({"lat": None, "lon": 0}, "found a NoneType"),
        ({"lat": 1}, "lat"),
        ({"lat": 1, "lon": 2, "lng": 3}, "lat"),
        ({"type": "Point", "coordinates": [1]}, "longitude first"),
        ({"type": "Polygon", "coordinates": [[1, 2]]}, "found a dict"),
        ([1, 91], "-90 to 90"),
        ([1, 2, 3], "found a list"),
        ([True, False], "found a list"),
        ("48,16", "found a str"),
    ],
)
def test_what_is_no_place_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        point_of(value)
    assert words in str(refusal.value)


def test_what_is_no_box_is_refused() -> None:
    with pytest.raises(InvalidValue, match="south=10 and north=5"):
        Box(10, 0, 5, 1)
    for sides in ((-91, 0, 0, 1), (0, -181, 1, 0), (0, 0, float("nan"), 1), (0, 0, 1, 181)):
        with pytest.raises(InvalidValue):
            Box(*sides)
