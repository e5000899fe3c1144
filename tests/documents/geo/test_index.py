"""The spatial index answers as a look at every document does, wherever on the earth."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.contract.record import Range
from holdfast.documents.geo.cells import COVERING_CELLS_MAX
from holdfast.documents.geo.index import around, changes, entries, nearest, ranges, within
from holdfast.documents.geo.shapes import Box, Point, distance
from holdfast.documents.query.values import MISSING
from tests.documents.geo.places import BOXES, POINTS

#: Few places, so that several documents share one.
CROWDED = st.sampled_from(
    [Point(90, 5), Point(90, -175), Point(-90, 0), Point(10, 180), Point(10, -180), Point(0, 0)]
)
DOCUMENTS = st.lists(st.lists(POINTS | CROWDED, max_size=2), max_size=30)


class Store:
    """The rows of an index, and how many of them were read."""

    def __init__(self) -> None:
        self.rows: SortedDict = SortedDict()
        self.read = 0
        self.scans = 0

    def put(self, identifier: bytes, before: list[Any] | None, after: list[Any] | None) -> None:
        for key, value in changes(before, after, identifier):
            if value is None:
                del self.rows[key]
            else:
                self.rows[key] = value

    def scan(self, range: Range) -> Iterator[tuple[bytes, bytes]]:
        self.scans += 1
        keys = self.rows.irange(range.start, range.end, inclusive=(True, False))
        for key in islice(keys, range.limit):
            self.read += 1
            yield key, self.rows[key]


def stored(documents: list[list[Point]]) -> Store:
    store = Store()
    for place, points in enumerate(documents):
        store.put(b"%03d" % place, None, list(points))
    return store


@pytest.mark.row("I-042", "trap 36")
@given(DOCUMENTS, BOXES)
@example([[Point(90, 5)], [Point(10, 180)], [Point(10, -180)]], Box(0, 170, 90, 180))
def test_within_is_what_lies_in_the_box(documents: list[list[Point]], box: Box) -> None:
    found = [(place.identifier, place.point) for place in within(box, stored(documents).scan)]
    wanted = {
        (b"%03d" % place, point)
        for place, points in enumerate(documents)
        for point in points
        if point in box
    }
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert len(ranges(box)) <= COVERING_CELLS_MAX


@pytest.mark.row("I-042", "trap 36")
@given(DOCUMENTS, POINTS, st.floats(0, 21_000_000) | st.sampled_from([0.0, 1.0, 1e5]))
@example([[Point(90, 5)], [Point(90, -175)]], Point(90, 60), 0.0)
@example([[Point(10, 180)], [Point(10, -180)]], Point(10, 180), 0.0)
def test_around_and_nearest_are_what_lies_so_near_in_order(
    documents: list[list[Point]], center: Point, metres: float
) -> None:
    store = stored(documents)
    wanted = sorted(
        (min(distance(center, point) for point in points), b"%03d" % place)
        for place, points in enumerate(documents)
        if points
    )
    every = [(place.metres, place.identifier) for place in nearest(center, store.scan)]
    assert every == wanted
    near = [(place.metres, place.identifier) for place in nearest(center, store.scan, metres)]
    assert near == [one for one in wanted if one[0] <= metres]
    circle = {place.identifier for place in around(center, metres, store.scan)}
    assert circle == {identifier for _, identifier in near}


@pytest.mark.row("trap 36")
def test_crowds_at_one_place_and_around_it_are_told_in_order() -> None:
    store = Store()
    here = Point(48.2, 16.4)
    for place in range(500):
        store.put(b"same%03d" % place, None, [here])
        store.put(b"near%03d" % place, None, [Point(48.2 + place * 1e-7, 16.4)])
    found = list(nearest(here, store.scan))
    assert len(found) == 1000
    assert [place.metres for place in found] == sorted(place.metres for place in found)
    assert [place.identifier for place in found[:501]] == [
        b"near000",
        *(b"same%03d" % place for place in range(500)),
    ]


@pytest.mark.row("trap 35")
def test_ten_of_many_read_few_rows() -> None:
    store = Store()
    for row in range(200):
        for column in range(100):
            point = Point(-89.5 + row * 0.9, -179.5 + column * 3.6)
            store.put(b"%d,%d" % (row, column), None, [point])
    for center in (Point(48, 16), Point(89.9, 0), Point(0, 180), Point(-90, 0)):
        store.read = store.scans = 0
        ten = list(islice(nearest(center, store.scan), 10))
        assert len(ten) == 10
        assert store.read < 2_500, center
        assert store.scans < 120, center
    store.read = 0
    assert 0 < len(list(within(Box(40, 10, 50, 20), store.scan))) * 4 > store.read


def test_rows_follow_the_document() -> None:
    store = Store()
    first, second = {"lat": 1, "lon": 2}, {"type": "Point", "coordinates": [3, 4]}
    store.put(b"1", None, [[first, second, first]])
    assert len(store.rows) == 2
    store.put(b"1", [[first, second, first]], [[second]])
    assert next(within(Box(-90, -180, 90, 180), store.scan)).point == Point(4, 3)
    assert list(changes([second], [[second]], b"1")) == []
    store.put(b"1", [second], [None])
    assert not store.rows
    assert entries([None, MISSING, [], [None]], b"1") == {}
    assert len(entries([[1, 2]], b"1")) == 1
    assert len(entries([[[1, 2], first]], b"1")) == 2
    # Two places of one smallest cell share a row, and both are kept.
    close = [Point(1, 2), Point(1, math.nextafter(2, 3))]
    (row,) = entries([close], b"1").values()
    assert len(row) == 32


def test_bad_places_and_distances_are_refused() -> None:
    with pytest.raises(InvalidValue, match="latitude is from -90 to 90"):
        entries([{"lat": 91, "lon": 0}], b"1")
    with pytest.raises(InvalidValue, match="found a str"):
        entries([["here"]], b"1")
    for metres in (-1, float("nan")):
        with pytest.raises(InvalidInput, match="0 metres or more"):
            list(around(Point(0, 0), metres, Store().scan))
        with pytest.raises(InvalidInput, match="0 metres or more"):
            list(nearest(Point(0, 0), Store().scan, metres))
    assert list(nearest(Point(0, 0), Store().scan)) == []
