"""A query over rows in memory or from a scan, without an index.

`run` streams where it can: without an order it reads no row more than the page needs, with an
order and a limit it holds the page and not all that match. `run_reference` says the same with the
reference evaluator and a full sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cmp_to_key
from itertools import islice
from typing import Any

from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.cursor import read_cursor
from holdfast.documents.query.evaluate import evaluate
from holdfast.documents.query.nodes import EVERYTHING
from holdfast.documents.query.ordering import (
    SORTED_ROWS_MAX,
    Keyed,
    Row,
    arrange,
    directions,
    keyed,
    precedes,
)
from holdfast.documents.query.places import Distance, haversine
from holdfast.documents.query.query import Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.query.texts import TextMatcher, all_words


def run(
    query: Query,
    rows: Iterable[Row],
    *,
    text: TextMatcher = all_words,
    distance: Distance = haversine,
    rows_max: int = SORTED_ROWS_MAX,
) -> Iterator[Row]:
    """The rows that the query gives, in its order, each with what it selects.

    `rows` come in the order of their keys. The query is checked now, rows are read when asked for.

    Raises:
        InvalidQuery: the cursor is none of this query.
        PatternInvalid: a regular expression cannot be compiled.
        QuotaExceeded: while running, a sort without a limit found more than `rows_max` rows.
    """
    after = read_cursor(query)
    kept: Iterable[Row] = rows
    if query.where != EVERYTHING:
        test = compile_where(query.where, text=text, distance=distance)
        kept = (row for row in rows if test(row[1]))
    end = None if query.limit is None else query.offset + query.limit
    if query.order_by:
        found = _ordered(query, kept, after, end, distance, rows_max)
    else:
        if after is not None:
            (last,) = after
            kept = (row for row in kept if row[0] > last)
        found = iter(kept)
    page = islice(found, query.offset, end) if end != query.offset else iter(())
    if query.select is None:
        return page
    select = compile_select(query.select)
    return ((key, select(document)) for key, document in page)


def _ordered(
    query: Query,
    rows: Iterable[Row],
    after: tuple[Any, ...] | None,
    end: int | None,
    distance: Distance,
    rows_max: int,
) -> Iterator[Row]:
    # A generator, so that nothing is read before the first row is asked for.
    ordered: Iterable[Keyed] = keyed(rows, query.order_by, distance)
    if after is not None:
        behind = precedes(directions(query.order_by))
        ordered = (one for one in ordered if behind(after, one[0]))
    for _, row in arrange(ordered, query.order_by, end, rows_max):
        yield row


def run_reference(
    query: Query,
    rows: Iterable[Row],
    *,
    text: TextMatcher = all_words,
    distance: Distance = haversine,
) -> list[Row]:
    """The same, spelled plainly: all that match, sorted, cut."""
    matching = [row for row in rows if evaluate(query.where, row[1], text=text, distance=distance)]
    before = precedes(directions(query.order_by))

    def compare(one: Keyed, other: Keyed) -> int:
        return before(other[0], one[0]) - before(one[0], other[0])

    ordered = sorted(keyed(matching, query.order_by, distance), key=cmp_to_key(compare))
    after = read_cursor(query)
    if after is not None:
        ordered = [one for one in ordered if before(after, one[0])]
    end = None if query.limit is None else query.offset + query.limit
    page = [row for _, row in ordered[query.offset : end]]
    if query.select is None:
        return page
    select: Callable[[Any], Any] = compile_select(query.select)
    return [(key, select(document)) for key, document in page]
