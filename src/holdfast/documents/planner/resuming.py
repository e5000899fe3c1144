"""Where a walk of an index goes on behind a cursor: a page costs its rows, not those before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast.codecs.keys import pack_text
from holdfast.contract.record import Range
from holdfast.documents.entries import CUT_END
from holdfast.documents.planner.way import Access
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.values import ARRAY, INSTANT, NULL, OBJECT, OrderKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def resumed(
    way: Access,
    order: tuple[OrderBy, ...],
    after: tuple[Any, ...] | None,
    *,
    backwards: bool,
    ties: bool,
) -> Access:
    """The way, whose walk gives the order, without what lies before the cursor.

    What is left may begin with rows before it that the index does not tell from it: they are
    looked at as they are met.

    Args:
        order: of the query.
        after: the sort keys of the cursor and, last, the key of its document.
        ties: whether the index puts documents that sort alike in order, too.
    """
    if after is None or way.order is None or not way.spans:
        return way
    fixed = {one.path for one in way.index.fields[: way.fixed]}
    keys = [key for clause, key in zip(order, after[:-1], strict=True) if clause.path not in fixed]
    place, whole = way.prefix + way.order.components(way.values)[0], True
    for at, key in enumerate(keys, way.fixed):
        component = _component(way, at, key)
        if component is None:
            whole = False
            break
        place += component
    if whole and ties and not way.index.unique:
        place += way.order.tail(pack_text(after[-1]))
    [span] = way.spans
    if backwards:
        # What continues a component ends before FE.
        end = place + CUT_END
        if span.end is None or end < span.end:
            span = Range(span.start, end)
    elif span.start is None or place > span.start:
        span = Range(place, span.end)
    return replace(way, spans=[span])


def _component(way: Access, at: int, key: OrderKey) -> bytes | None:
    """How entries hold what sorts by `key`, if they hold it whole."""
    bracket = key[0]
    if bracket in (OBJECT, ARRAY):
        return None
    value: Any = None
    if bracket == INSTANT:
        try:
            value = _EPOCH + timedelta(microseconds=key[1])
        except OverflowError:
            return None  # A cursor that somebody made up.
    elif bracket != NULL:
        value = key[1]
    assert way.order is not None
    return way.order.component(value, at)
