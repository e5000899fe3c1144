"""Which live queries a document may concern, without asking each of them.

Each query stands under one condition that every document of it meets: values that a field equals,
or a span that it lies in. What a document holds there leads to the queries. A query that has no
such condition is asked about every document.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar

from holdfast.documents.live.spans import Span, Spans
from holdfast.documents.planner.predicates import Predicate, conjuncts, predicates
from holdfast.documents.query.nodes import Node, Or
from holdfast.documents.query.paths import Path, values_at
from holdfast.documents.query.values import MISSING, TEXT, Constant, OrderKey, order_key

T = TypeVar("T")

#: A condition on more values than that leads nowhere: the query is asked about every document.
ROUTED_VALUES_MAX: Final = 1000
#: The last character there is, and the ones that are none.
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class Route(NamedTuple):
    """One condition on what a path finds: it equals one of the keys, or lies in the span."""

    path: Path
    keys: tuple[OrderKey, ...] = ()
    span: Span | None = None


class Routes(Generic[T]):
    """Items under conditions."""

    def __init__(self) -> None:
        self._everywhere: dict[T, None] = {}
        self._equal: dict[Path, dict[OrderKey, dict[T, None]]] = {}
        self._spans: dict[Path, Spans[tuple[T, int]]] = {}
        self._routes: dict[T, tuple[Route, ...]] = {}

    def __len__(self) -> int:
        return len(self._routes)

    def add(self, item: T, where: Node) -> None:
        """Put an item under a condition."""
        routes = self._choose(where)
        self._routes[item] = routes or ()
        if routes is None:
            self._everywhere[item] = None
        for number, route in enumerate(routes or ()):
            if route.span is not None:
                self._spans.setdefault(route.path, Spans()).add((item, number), route.span)
            for key in route.keys:
                self._equal.setdefault(route.path, {}).setdefault(key, {})[item] = None

    def remove(self, item: T) -> None:
        """Take it out, also one of which an interrupt let a part come in."""
        self._everywhere.pop(item, None)
        for number, route in enumerate(self._routes.get(item, ())):
            spans = self._spans.get(route.path)
            if route.span is not None and spans is not None:
                spans.remove((item, number))
                if not len(spans):
                    del self._spans[route.path]
            for key in route.keys:
                buckets = self._equal.get(route.path, {})
                bucket = buckets.get(key, {})
                bucket.pop(item, None)
                if not bucket:
                    buckets.pop(key, None)
                if not buckets:
                    self._equal.pop(route.path, None)
        self._routes.pop(item, None)  # At last: who was interrupted takes it out again.

    def concerned(self, document: Any) -> dict[T, None]:
        """The items whose condition the document may meet, each once."""
        found = dict(self._everywhere)
        for path, buckets in self._equal.items():
            for key in _keys_at(document, path):
                found |= buckets.get(key, {})
        for path, spans in self._spans.items():
            for low, high in _hulls(_keys_at(document, path)):
                found |= dict.fromkeys(item for item, _ in spans.meeting(low, high))
        return found

    def _choose(self, where: Node) -> tuple[Route, ...] | None:
        """The conditions of which every document meets one; None: there are none to go by."""
        parts = conjuncts(where)
        choices = [(self._crowd(route), route) for route in _routes_of(predicates(parts))]
        if choices:
            return (min(choices, key=lambda choice: choice[0])[1],)
        for part in parts:
            if isinstance(part, Or) and part.conditions:
                several = [self._choose(condition) for condition in part.conditions]
                if None not in several:
                    return tuple(route for routes in several for route in routes or ())
        return None

    def _crowd(self, route: Route) -> tuple[int, int]:
        """What speaks against a route: how wide it is, and how many stand there already."""
        if route.span is not None:
            open_ends = (len(route.span.low) == 1) + (len(route.span.high) == 1)
            return 1 + open_ends, 0
        buckets = self._equal.get(route.path, {})
        return 0, len(route.keys) + sum(len(buckets.get(key, ())) for key in route.keys)


def _routes_of(found: list[Predicate]) -> Iterator[Route]:
    """A route for each path that something is asked of."""
    spans: dict[Path, Span] = {}
    for one in found:
        if one.values is not None:
            if not one.null and len(one.values) <= ROUTED_VALUES_MAX:
                yield Route(one.path, tuple({value.key: None for value in one.values}))
        elif one.node is None:
            low, high = _ends(one)
            known = spans.get(one.path)
            if known is not None and known.low[0] == low[0]:
                low, high = max(low, known.low), min(high, known.high)
            # With arrays one element may meet one bound and another the other, so the span may be
            # turned round: whoever looks asks whether it meets what the elements span together.
            spans[one.path] = Span(low, high)
    for path, span in spans.items():
        yield Route(path, span=span)


def _ends(one: Predicate) -> tuple[OrderKey, OrderKey]:
    if one.start is not None:
        return (TEXT, one.start), _behind(one.start)
    bound: Constant | None = one.low or one.high
    assert bound is not None
    bracket = bound.key[0]
    low = (bracket,) if one.low is None else one.low.key
    high = (bracket + 1,) if one.high is None else one.high.key
    return low, high


def _behind(start: str) -> OrderKey:
    """What sorts behind every text that begins so."""
    for length in range(len(start), 0, -1):
        following = ord(start[length - 1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST_CHARACTER:
            return (TEXT, start[: length - 1] + chr(following))
    return (TEXT + 1,)


def _keys_at(document: Any, path: Path) -> list[OrderKey]:
    """The order keys of all that a path finds, the elements of arrays too."""
    value = document
    for name in path:
        if type(value) is not dict:
            break
        value = value.get(name, MISSING)
    else:
        if type(value) is not list:
            return [] if value is MISSING else [order_key(value)]
    keys = []
    for found in values_at(document, path):
        if found is not MISSING:
            keys.append(order_key(found))
        if type(found) is list:
            keys += [order_key(element) for element in found]
    return keys


def _hulls(keys: list[OrderKey]) -> Iterator[Span]:
    """For each type among the keys, the span from the least to the greatest."""
    if len(keys) == 1:
        yield Span(keys[0], keys[0])
        return
    by_bracket: dict[Any, list[OrderKey]] = {}
    for key in keys:
        by_bracket.setdefault(key[0], []).append(key)
    for several in by_bracket.values():
        yield Span(min(several), max(several))
