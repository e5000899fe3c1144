"""The order of results: clauses, sort keys, and the first so many without sorting all.

A field of an array sorts by its least element, descending by its greatest; an empty array, a
missing field and null are alike. Rows that tie sort by their key, in the direction of the first
clause: so turning all clauses round turns the whole result round, ties included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from holdfast.contract.errors import QuotaExceeded
from holdfast.documents.query.paths import Path, path_text, values_at
from holdfast.documents.query.places import Distance, Point, haversine, read_point
from holdfast.documents.query.values import MISSING, NULL_KEY, NUMBER, OrderKey, order_key

SORTED_ROWS_MAX = 1_000_000
"""How many rows a sort without a limit holds at most."""

#: A key and its document.
Row = tuple[str, Any]

# A buffer this much longer than what is wanted is sorted and cut, so a row costs O(log n).
_BUFFER_FACTOR = 2
_BUFFER_ROWS_MIN = 256


@dataclass(frozen=True, slots=True)
class OrderBy:
    """One clause of an order.

    Attributes:
        path: what to order by.
        descending: the greatest first.
        near: order by the distance of the point there from this one, and not by the value.
    """

    path: Path
    descending: bool = False
    near: Point | None = None

    def __neg__(self) -> OrderBy:
        return OrderBy(self.path, not self.descending, self.near)

    def shape(self) -> str:
        """The clause as text, without the point."""
        return f"{'-' * self.descending}{path_text(self.path)!r}{'~' * (self.near is not None)}"


def sort_key(document: Any, clause: OrderBy, distance: Distance = haversine) -> OrderKey:
    """What a document sorts by under a clause."""
    if clause.near is not None:
        return _distance_key(document, clause, clause.near, distance)
    parts = clause.path
    value = document
    for part in parts:
        if type(value) is not dict:
            break
        value = value.get(part, MISSING)
    else:
        if type(value) is not list:
            return order_key(value)
    keys = [
        order_key(one)
        for found in values_at(document, parts)
        for one in (found if isinstance(found, list) else (found,))
    ]
    if not keys:
        return NULL_KEY
    return max(keys) if clause.descending else min(keys)


def _distance_key(document: Any, clause: OrderBy, near: Point, distance: Distance) -> OrderKey:
    lengths = [distance(near, point) for point in points_at(document, clause.path)]
    if not lengths:
        return NULL_KEY
    return (NUMBER, max(lengths) if clause.descending else min(lengths))


def points_at(document: Any, parts: Path) -> Iterator[Point]:
    """The points that a path finds, those in an array among them."""
    for value in values_at(document, parts):
        point = read_point(value)
        if point is not None:
            yield point
        elif isinstance(value, list):
            yield from (one for one in map(read_point, value) if one is not None)


#: A row with what it sorts by: one key for each clause, then the row's own key.
Keyed = tuple[tuple[Any, ...], Row]


def keyed(
    rows: Iterable[Row], order: tuple[OrderBy, ...], distance: Distance = haversine
) -> Iterator[Keyed]:
    """Rows with their sort keys."""
    if len(order) == 1:
        [clause] = order
        for row in rows:
            yield (sort_key(row[1], clause, distance), row[0]), row
        return
    for row in rows:
        yield (*[sort_key(row[1], clause, distance) for clause in order], row[0]), row


def directions(order: tuple[OrderBy, ...]) -> tuple[bool, ...]:
    """Whether each part of a sort key descends, the row's own key last."""
    return (*[clause.descending for clause in order], bool(order) and order[0].descending)


def precedes(descending: tuple[bool, ...]) -> Callable[[tuple[Any, ...], tuple[Any, ...]], bool]:
    """A test of two sort keys: whether the first comes strictly before the second."""

    def before(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        for mine, theirs, down in zip(one, other, descending, strict=True):
            if mine != theirs:
                return bool(mine > theirs if down else mine < theirs)
        return False

    return before


class Arrangement:
    """Rows put in order as they come, the first `wanted` of them (None: all).

    With `wanted`, memory and time are those of that many rows: a row that comes behind the last
    one wanted so far costs one comparison. Rows may be added page by page.
    """

    def __init__(
        self,
        order: tuple[OrderBy, ...],
        wanted: int | None = None,
        rows_max: int = SORTED_ROWS_MAX,
    ) -> None:
        self._descending = directions(order)
        self._wanted = wanted
        self._rows_max = rows_max
        self._all = wanted is None or wanted > rows_max
        self._full = max(_BUFFER_ROWS_MIN, (wanted or 0) * _BUFFER_FACTOR)
        self._kept: list[Keyed] = []
        # The first part of the sort key of the last row wanted, once there are enough.
        self._last: Any = None

    def add(self, rows: Iterable[Keyed]) -> None:
        """Take further rows.

        Raises:
            QuotaExceeded: more than `rows_max` are wanted, and there are more.
        """
        if self._wanted == 0:
            return
        if self._all:
            self._add_all(rows)
            return
        kept, last, down = self._kept, self._last, self._descending[0]
        for row in rows:
            if last is not None:
                first = row[0][0]
                if first < last if down else first > last:
                    continue
            kept.append(row)
            if len(kept) >= self._full:
                self._cut()
                last = self._last

    def _add_all(self, rows: Iterable[Keyed]) -> None:
        for row in rows:
            self._kept.append(row)
            if len(self._kept) > self._rows_max:
                raise QuotaExceeded(
                    f"a sort holds at most {self._rows_max} rows in memory; found more. Give the "
                    "query a limit, or order by what an index is ordered by",
                    limit=self._rows_max,
                )

    def _cut(self) -> None:
        _sort(self._kept, self._descending)
        del self._kept[self._wanted :]
        if len(self._kept) == self._wanted:
            self._last = self._kept[-1][0][0]

    def rows(self) -> list[Keyed]:
        """The rows so far, in order."""
        _sort(self._kept, self._descending)
        return self._kept if self._wanted is None else self._kept[: self._wanted]


def arrange(
    rows: Iterable[Keyed],
    order: tuple[OrderBy, ...],
    wanted: int | None = None,
    rows_max: int = SORTED_ROWS_MAX,
) -> list[Keyed]:
    """Rows in order, the first `wanted` of them (None: all); see `Arrangement`.

    Raises:
        QuotaExceeded: more than `rows_max` are wanted, and there are more.
    """
    arrangement = Arrangement(order, wanted, rows_max)
    arrangement.add(rows)
    return arrangement.rows()


def _sort(rows: list[Keyed], descending: tuple[bool, ...]) -> None:
    # Sorting is stable: by the last part first, and where directions agree by all of them at once.
    if len(set(descending)) == 1:
        rows.sort(key=itemgetter(0), reverse=descending[0])
        return
    for at in reversed(range(len(descending))):
        rows.sort(key=partial(_part, at), reverse=descending[at])


def _part(at: int, row: Keyed) -> Any:
    return row[0][at]
