"""What lies in a box, and what is nearest to a point, in one read of a spatial index.

Like `direct`, for one condition alone. The cells that hold the box, or a circle around the point,
are others each time, so they are found anew; the rows there say exactly where their documents are,
and only the documents of those that lie inside are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from holdfast.contract.engine import NOT_NOW
from holdfast.contract.lookup import Fence, LookedUp, Lookup
from holdfast.documents.geo.cells import CODE_BYTES
from holdfast.documents.geo.index import places_in, sieve, spans_of
from holdfast.documents.geo.shapes import Box, Point, circle_box
from holdfast.documents.indexes.definition import IndexDefinition, index_prefix
from holdfast.documents.planner.direct import Direct, documents_of, living
from holdfast.documents.planner.nearest import CIRCLE_SPARE, FIRST_CIRCLE_METRES
from holdfast.documents.planner.plan import CHOICES_MAX, QueryPlan
from holdfast.documents.planner.prepared import shape_of
from holdfast.documents.planner.spatial import in_box
from holdfast.documents.query.nodes import EVERYTHING, Near, Within
from holdfast.documents.query.places import Point as Place
from holdfast.documents.query.places import meters_from
from holdfast.documents.storage import DocumentStorage

#: So many rows of each cell are looked at, at most.
ROWS_MAX: Final = 256
#: So many circles are tried, each this much wider than the one before.
_CIRCLES_MAX: Final = 3
_CIRCLE_GROWTH: Final = 2.0
#: What one answer has a say in where the next circle ends: by chance it is wide or narrow.
_LAST_SHARE: Final = 0.25
#: Closer to the date line, longitudes do not tell whether a place can lie in a circle.
_LONGITUDE_PLAIN: Final = 179.9


class DirectPlaces:
    """What the plan of a query has that does not depend on the box or the point.

    Args:
        index: a spatial one.
        storage: of the collection.
        fence: the row of the catalogue that the plan was made with.
        nearest: whether the nearest are wanted.
    """

    __slots__ = ("_at", "_data", "_fence", "_index", "_nearest", "_prefix")

    def __init__(
        self, index: IndexDefinition, storage: DocumentStorage, fence: bytes, *, nearest: bool
    ) -> None:
        self._index = index
        self._prefix = index_prefix(storage.number, index.number)
        self._at = len(self._prefix) + CODE_BYTES
        self._data = storage.rows.data
        self._fence = Fence(storage.catalogue_key, fence)
        self._nearest = nearest

    @classmethod
    def of(
        cls, plan: QueryPlan, storage: DocumentStorage, fence: bytes | None
    ) -> DirectPlaces | None:
        """What is kept of a shape; None: a lookup does not answer it."""
        way, query, where = plan.single, plan.query, plan.query.where
        if fence is None:
            return None
        if plan.nearest is not None:
            index = plan.nearest
            alone = isinstance(where, Near) and where.meters is None and len(query.order_by) == 1
            if not alone or any(index.arrays):
                return None
            return cls(index, storage, fence, nearest=True)
        if way is None or way.index.kind != "geo" or way.arrays or plan.weighed:
            return None
        if not isinstance(where, Within) or query.order_by or plan.rest != EVERYTHING:
            return None
        return cls(way.index, storage, fence, nearest=False)

    def documents(
        self, storage: DocumentStorage, values: Sequence[Any], limit: int | None, offset: int
    ) -> list[Any] | None:
        """The documents that the query gives, whole, in its order; None: it takes more."""
        end = None if limit is None else offset + limit
        if self._nearest:
            assert end is not None
            rows = self._around(storage, values[1].near, end)
        else:
            area = values[0].box
            box = Box(area.south, area.west, area.north, area.east)
            rows = self._within(storage, box, in_box(area))
            if rows is not None:
                at = self._at
                rows.sort(key=lambda row: row[0][at:])
        if rows is None:
            return None
        usage, name = storage.usage, self._index.name
        hits, misses = usage.get(name, (0, 0))
        usage[name] = hits + 1, misses
        return documents_of(rows[offset:end], self._identifier)

    def count(self, _storage: DocumentStorage, _values: Sequence[Any]) -> int | None:
        """No index counts what lies in a box."""
        return None

    # --- Inside -----------------------------------------------------------------------------

    def _identifier(self, key: bytes) -> bytes:
        return key[self._at :]

    def _within(
        self, storage: DocumentStorage, box: Box, keep: Callable[[bytes], bool]
    ) -> list[LookedUp] | None:
        """The rows in the cells of a box that are wanted, and whose documents live."""
        peek, prefix = storage.engine.peek_lookup, self._prefix
        spans = []
        for start, end in spans_of(box):
            if end is None:
                return None
            spans.append((prefix + start, prefix + end))
        if peek is None or not spans:
            return None
        near = self._nearest
        # Where the nearest are wanted, every place is looked at that is not outside for sure.
        sift = sieve(box, self._at - CODE_BYTES, inside=None if near else True)
        cut = (self._at, None)
        rows = peek(
            Lookup(self._fence, spans, False, ROWS_MAX, self._data, cut, near, keep, sift=sift)
        )
        return None if rows is NOT_NOW else living(storage, rows)

    def _around(self, storage: DocumentStorage, near: Place, wanted: int) -> list[LookedUp] | None:
        """So many rows at least, the nearest first."""
        reaches, number = storage.known.reaches, self._index.number
        metres = reaches.get(number, FIRST_CIRCLE_METRES)
        meters, at = meters_from(near), self._at
        for _ in range(_CIRCLES_MAX):
            box = circle_box(Point(near.latitude, near.longitude), metres)
            lengths: dict[bytes, float] = {}
            rows = self._within(storage, box, _inside(box, metres, meters, lengths))
            if rows is None:
                return None
            if len(rows) >= wanted:
                rows.sort(key=lambda row: (lengths[row[1]], row[0][at:]))
                # The next one is likely to be asked of as crowded a place as the last ones were.
                last = lengths[rows[wanted - 1][1]] * CIRCLE_SPARE
                known = reaches.get(number, last)
                reaches[number] = max(FIRST_CIRCLE_METRES, known + (last - known) * _LAST_SHARE)
                return rows
            metres *= _CIRCLE_GROWTH
        return None


def _inside(
    box: Box, metres: float, meters: Callable[[float, float], float], lengths: dict[bytes, float]
) -> Callable[[bytes], bool]:
    """What tells whether the place of a row lies in a circle, and notes how far away it is."""
    south, west, north, east = box.south, box.west, box.north, box.east
    plain = -_LONGITUDE_PLAIN < west <= east < _LONGITUDE_PLAIN

    def inside(value: bytes) -> bool:
        length = math.inf
        for latitude, longitude in places_in(value):
            # Most that lie outside are told without their distance.
            if not plain or (south <= latitude <= north and west <= longitude <= east):
                length = min(length, meters(latitude, longitude))
        lengths[value] = length
        return length <= metres

    return inside


def keep_direct(shape: Hashable, plan: QueryPlan, storage: DocumentStorage) -> None:
    """Keep what queries that are spelled like the planned one have in common, if anything."""
    planned = storage.planned
    if len(planned.direct) >= CHOICES_MAX:
        planned.direct.clear()
    known = planned.prepared.get(shape_of(plan.query))
    planned.direct[shape] = (
        DirectPlaces.of(plan, storage, planned.stored)
        if known is None
        else Direct.of(known, storage, planned.stored)
    )
