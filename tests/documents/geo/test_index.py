"""The spatial index answers as a look at every document does, wherever on the earth."""

import math
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from holdfast.contract.errors import InvalidValue
from holdfast.contract.record import Range
from holdfast.documents.geo.cells import CODE_BYTES, COVERING_CELLS_MAX
from holdfast.documents.geo.index import changes, entries, ranges, sieve
from holdfast.documents.geo.shapes import Box, Point, circle_box
from holdfast.documents.query.values import MISSING
from tests.documents.geo.places import BOXES, POINTS, distance, holds

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


def found(store: Store, box: Box) -> list[tuple[bytes, Point]]:
    """The identifiers and places of all rows that a search of a box looks at."""
    return [
        (key[CODE_BYTES:], Point(*place))
        for range in ranges(box)
        for key, value in store.scan(range)
        for place in struct.iter_unpack(">dd", value)
    ]


@pytest.mark.row("I-042", "trap 36")
@given(st.lists(POINTS | CROWDED, max_size=30), BOXES)
@example([Point(0, 0), Point(10, 10), Point(5, 10), Point(5, 5)], Box(0, 0, 10, 10))
def test_codes_tell_no_place_to_the_wrong_side_of_a_box(points: list[Point], box: Box) -> None:
    points += [Point(box.south, box.west), Point(box.north, box.east), Point(box.south, box.east)]
    for inside in (True, None):
        sift = sieve(box, 3, inside=inside)
        if sift is None:
            assert (
                box.west > box.east
                or {box.south, box.north} & {90, -90}
                or ({box.west, box.east} & {180, -180})
            )
            continue
        for point in points:
            [key] = entries([point], b"of a document")
            told = sift(b"pre" + key)
            assert told in (None, holds(box, point))
            assert inside or not told


@pytest.mark.row("I-042", "trap 36")
@given(DOCUMENTS, BOXES)
@example([[Point(90, 5)], [Point(10, 180)], [Point(10, -180)]], Box(0, 170, 90, 180))
def test_the_ranges_of_a_box_hold_every_place_in_it_once(
    documents: list[list[Point]], box: Box
) -> None:
    looked_at = found(stored(documents), box)
    assert len(set(looked_at)) == len(looked_at)
    assert {
        (b"%03d" % place, point)
        for place, points in enumerate(documents)
        for point in points
        if holds(box, point)
    } <= set(looked_at)
    assert len(ranges(box)) <= COVERING_CELLS_MAX


@pytest.mark.row("I-042", "trap 36")
@given(DOCUMENTS, POINTS, st.floats(0, 21_000_000) | st.sampled_from([0.0, 1.0, 1e5]))
@example([[Point(90, 5)], [Point(90, -175)]], Point(90, 60), 0.0)
@example([[Point(10, 180)], [Point(10, -180)]], Point(10, 180), 0.0)
def test_the_ranges_of_a_circle_hold_every_place_in_it(
    documents: list[list[Point]], center: Point, metres: float
) -> None:
    looked_at = {
        identifier for identifier, _ in found(stored(documents), circle_box(center, metres))
    }
    for place, points in enumerate(documents):
        if any(distance(center, point) <= metres for point in points):
            assert b"%03d" % place in looked_at


@pytest.mark.row("trap 35")
def test_a_small_box_looks_at_few_rows() -> None:
    store = Store()
    for row in range(200):
        for column in range(100):
            point = Point(-89.5 + row * 0.9, -179.5 + column * 3.6)
            store.put(b"%d,%d" % (row, column), None, [point])
    box = Box(40, 10, 50, 20)
    inside = sum(holds(box, point) for _, point in found(store, box))
    assert 0 < store.read < 4 * inside


def test_rows_follow_the_document() -> None:
    store = Store()
    first, second = {"lat": 1, "lon": 2}, {"type": "Point", "coordinates": [3, 4]}
    store.put(b"1", None, [[first, second, first]])
    assert len(store.rows) == 2
    store.put(b"1", [[first, second, first]], [[second]])
    assert found(store, Box(-90, -180, 90, 180)) == [(b"1", Point(4, 3))]
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


def test_bad_places_are_refused() -> None:
    with pytest.raises(InvalidValue, match="latitude is from -90 to 90"):
        entries([{"lat": 91, "lon": 0}], b"1")
    with pytest.raises(InvalidValue, match="found a str"):
        entries([["here"]], b"1")
