"""The nearest so many, by a spatial index: circles that grow until they hold them.

How far a document is away the rows of the index say, so only those that may be given are read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sized
from contextlib import aclosing
from operator import itemgetter
from typing import Final, Protocol, cast

from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.documents.geo.index import places_in
from holdfast.documents.geo.shapes import Point
from holdfast.documents.indexes.definition import IndexDefinition
from holdfast.documents.planner.found import Examined, Found
from holdfast.documents.planner.spatial import around_point
from holdfast.documents.query.ordering import Arrangement, OrderBy, Row, keyed
from holdfast.documents.query.places import Point as Place
from holdfast.documents.query.places import meters_from
from holdfast.documents.storage import DocumentStorage

#: The first circle in which the nearest are looked for, how circles grow, and which is the earth.
FIRST_CIRCLE_METRES: Final = 1000.0
CIRCLE_GROWTH: Final = 4.0
HALF_AROUND_METRES: Final = 20_100_000.0
#: The first circle afterwards: so much wider than the last answer was.
CIRCLE_SPARE: Final = 1.35
#: How many documents a page has, and how fast pages grow.
PAGE_ROWS_MAX: Final = 1024
PAGE_GROWTH: Final = 4


class Reading(Protocol):
    """What reads and judges documents; see `execute.Run`."""

    storage: DocumentStorage
    moment: Engine
    examined: Examined

    async def documents(self, identifiers: list[bytes]) -> list[Found]:
        """The living documents that match, in this order."""
        ...

    def require_room(self, seen: Sized) -> None:
        """Raise QuotaExceeded when a walk has to remember too many documents."""
        ...


async def nearest(
    run: Reading, order: tuple[OrderBy, ...], index: IndexDefinition, wanted: int
) -> AsyncGenerator[Found, None]:
    """The nearest so many documents that match, nearest first."""
    near = order[0].near
    assert near is not None
    reaches = run.storage.known.reaches
    metres = reaches.get(index.number, FIRST_CIRCLE_METRES)
    while True:
        arrangement = Arrangement(order, wanted)
        inside = 0
        # Closed here: a generator that is only dropped makes its loop start a task to close it.
        async with aclosing(_by_distance(run, index, near, metres, wanted)) as pages:
            async for rows in pages:
                found = list(keyed(cast("list[Row]", rows), order))
                inside += len(found)
                arrangement.add(found)
                # Those of the next page are farther away than all of these.
                if inside >= wanted and len(order) == 1:
                    break
        if inside >= wanted or metres > HALF_AROUND_METRES:
            break
        metres *= CIRCLE_GROWTH
    kept = arrangement.rows()
    if inside >= wanted and kept:
        # The next one is likely to be asked of as crowded a place.
        reaches[index.number] = max(FIRST_CIRCLE_METRES, kept[-1][0][0][1] * CIRCLE_SPARE)
    for _, row in kept:
        yield cast("Found", row)


async def _by_distance(
    run: Reading, index: IndexDefinition, near: Place, metres: float, wanted: int
) -> AsyncGenerator[list[Found], None]:
    """The documents that match and are at most so far away, page by page, the nearest first.

    Pages part where distances do.
    """
    lengths: dict[bytes, float] = {}
    meters = meters_from(near)
    center = Point(near.latitude, near.longitude)
    way = around_point(run.storage.number, index, center, metres)
    for span in way.spans:
        rest: Range | None = span
        while rest is not None and not rest.empty:
            page = await run.moment.scan(rest)
            run.examined.keys += len(page.rows)
            rows = zip(way.identifiers(page.rows), page.rows, strict=True)
            for identifier, (_, (value, _)) in rows:
                length = min([meters(*one) for one in places_in(value)])
                if length <= metres:
                    lengths[identifier] = min(length, lengths.get(identifier, length))
            run.require_room(lengths)
            rest = page.resume
    some: list[bytes] = []
    rows_wanted = min(wanted, PAGE_ROWS_MAX)
    last = -1.0
    for identifier, length in sorted(lengths.items(), key=itemgetter(1)):
        if len(some) >= rows_wanted and length > last:
            yield await run.documents(some)
            some = []
            rows_wanted = min(rows_wanted * PAGE_GROWTH, PAGE_ROWS_MAX)
        some.append(identifier)
        last = length
    yield await run.documents(some)
