"""Ways to the documents that can match: spans of an index, by what a condition asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any, Final

from holdfast.contract.errors import InvalidValue
from holdfast.contract.record import Range
from holdfast.documents.entries import IndexOrder
from holdfast.documents.hashed import hash_key
from holdfast.documents.indexes.definition import IndexDefinition, index_prefix
from holdfast.documents.indexes.writers import order_of
from holdfast.documents.planner.predicates import ByPath, Predicate, shown
from holdfast.documents.planner.spatial import spatial
from holdfast.documents.planner.way import Access, Recipe, below
from holdfast.documents.query.nodes import Matches, Node
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import path_text
from holdfast.documents.query.values import MISSING, order_key
from holdfast.documents.text.query import Node as Searched
from holdfast.documents.text.query import Not as Without
from holdfast.documents.text.query import Words, parse

#: Into so many spans the lists of `in` conditions are multiplied at most.
SPANS_MAX: Final = 1000


def accesses(
    keyspace: int,
    indexes: Sequence[IndexDefinition],
    found: list[Predicate],
    parts: tuple[Node, ...],
) -> list[Access]:
    """The indexes that serve what the conjuncts `parts` ask for, each with its spans."""
    by_path: ByPath = {}
    for one in found:
        by_path.setdefault(one.path, []).append(one)
    served = []
    for index in indexes:
        if index.state != "ready" or index.kind == "vector":
            continue
        if index.kind == "btree" and index.fields[0].path not in by_path:
            continue
        prefix = index_prefix(keyspace, index.number)
        try:
            access = _MAKERS[index.kind](index, prefix, by_path)
        except InvalidValue:
            continue  # A value that no index holds: the evaluator knows what it equals.
        if access is not None:
            access.parts = parts
            served.append(access)
    return served


def whole_index(keyspace: int, index: IndexDefinition) -> Access:
    """All of a btree index, for its order."""
    prefix = index_prefix(keyspace, index.number)
    return Access(index, prefix, [below(prefix, Range())], order=order_of(index))


def order_given(access: Access, order: tuple[OrderBy, ...]) -> tuple[bool, bool] | None:
    """Whether a walk of the spans meets documents in this order: (backwards, ties are right).

    None: it does not. Where ties are not right, those that sort alike have to be put in order.
    """
    if access.order is None or any(access.index.arrays):
        return None
    fields = access.index.fields
    fixed_paths = {one.path for one in fields[: access.fixed]}
    if len(access.spans) > 1:
        return None
    clauses = [one for one in order if one.path not in fixed_paths or one.near is not None]
    rest = fields[access.fixed :]
    if len(clauses) > len(rest) or any(one.near is not None for one in clauses):
        return None
    turns = set()
    for clause, one in zip(clauses, rest, strict=False):
        if clause.path != one.path:
            return None
        turns.add(clause.descending != one.descending)
    if len(turns) > 1:
        return None
    ties_descend = bool(order) and order[0].descending
    backwards = turns.pop() if turns else (fields[0].descending != ties_descend)
    met_descending = fields[0].descending != backwards
    ties = len(clauses) == len(rest) and met_descending == ties_descend
    if not clauses and not ties:
        return None  # By key alone, and the index has further fields: no order at all.
    return backwards, ties


# --- By kind ----------------------------------------------------------------------------------


def _ordered(index: IndexDefinition, prefix: bytes, by_path: ByPath) -> Access | None:
    order = order_of(index)
    access = Access(index, prefix, [], order=order)
    heads: list[tuple[Any, ...]] = [()]
    spans: list[Range] | None = None
    exact = True
    present = False
    equals: list[int] = []
    simple = True
    low: Predicate | None = None
    high: Predicate | None = None
    for place, one in enumerate(index.fields):
        asked = by_path.get(one.path)
        if not asked:
            break
        arrays = bool(index.arrays) and index.arrays[place]
        equal = [each for each in asked if each.values is not None]
        if equal:
            multiplied = _equal(access, heads, equal, path_text(one.path))
            if multiplied is None:
                break
            heads = multiplied
            simple = simple and len(equal) == 1
            equals.append(equal[0].place)
            present = present or not all(each.null for each in equal)
            if len(heads) == 1:
                access.fixed = place + 1
            continue
        between = _between(order, heads, asked, access, arrays=arrays)
        if between is not None:
            spans, sharp, low, high = between
            simple = simple and len(asked) == (low is not None) + (high is not None)
            exact = exact and sharp
            present = True
            access.bounded += 1
        break
    if not access.bounded or (index.sparse and not present):
        return None
    if spans is None:
        several = [order.equal(head) for head in heads]
        exact = exact and all(bound.exact for bound in several)
        spans = _sorted([bound.range for bound in several])
    if not exact:
        access.places.clear()
    access.recipe = _recipe(equals, low, high) if exact and simple and len(heads) == 1 else None
    access.spans = [span for span in (below(prefix, one) for one in spans) if not span.empty]
    access.values = heads[0][: access.fixed] if heads else ()
    return access


def _recipe(equal: list[int], low: Predicate | None, high: Predicate | None) -> Recipe:
    return Recipe(
        tuple(equal),
        None if low is None else low.place,
        None if high is None else high.place,
        low is not None and low.low_open,
        high is not None and high.high_open,
    )


def _equal(
    access: Access, heads: list[tuple[Any, ...]], equal: list[Predicate], path: str
) -> list[tuple[Any, ...]] | None:
    """The beginnings of the spans with the values of one more field; None: they are too many."""
    chosen = min(equal, key=lambda each: (each.null, len(each.values or ())))
    values = [each.value for each in chosen.values or ()]
    if len(heads) * len(values) > SPANS_MAX:
        return None
    if chosen.whole:
        access.asked.add(chosen.place)
        if len(equal) == 1:
            access.places.add(chosen.place)
    access.bounded += 1
    access.bounds[path] = partial(_told, values)
    return [(*head, value) for head, value in product(heads, values)]


def _between(
    order: IndexOrder,
    heads: list[tuple[Any, ...]],
    asked: list[Predicate],
    access: Access,
    *,
    arrays: bool,
) -> tuple[list[Range], bool, Predicate | None, Predicate | None] | None:
    """Spans over the next field: a range of it, or texts that begin so; whether exact; bounds."""
    path = path_text(asked[0].path)
    lows = [one for one in asked if one.low is not None]
    highs = [one for one in asked if one.high is not None]
    if not lows and not highs:
        starts = [one.start for one in asked if one.start]
        if not starts:
            return None
        access.bounds[path] = lambda: [f"starts with {shown(starts[0])}"]
        bounds = [order.starting(head, starts[0]) for head in heads]
        exact = all(bound.exact for bound in bounds)
        return _sorted([bound.range for bound in bounds]), exact, None, None
    low = _tightest(lows, above=True)
    high = _tightest(highs, above=False)
    if arrays and low is not None:
        # Two elements of an array may meet the two sides: one of them is all that can be said.
        high = None
    sides = [one.place for one in (low, high) if one is not None and one.whole]
    access.asked.update(sides)
    if not arrays:
        access.places.update(sides)
    bounds = [
        order.between(
            head,
            MISSING if low is None or low.low is None else low.low.value,
            MISSING if high is None or high.high is None else high.high.value,
            low_open=low is not None and low.low_open,
            high_open=high is not None and high.high_open,
        )
        for head in heads
    ]
    access.bounds[path] = partial(_side_by_side, low, high)
    exact = all(bound.exact for bound in bounds)
    return _sorted([bound.range for bound in bounds]), exact, low, high


def _told(values: list[Any]) -> list[str]:
    return [shown(value) for value in values]


def _told_as(text: str) -> list[str]:
    return [text]


def _side_by_side(low: Predicate | None, high: Predicate | None) -> list[str]:
    """A range as people write it: `[10, 12)`, `-` for an open side."""
    left = right = "-"
    if low is not None and low.low is not None:
        left = f"{'(' if low.low_open else '['}{shown(low.low.value)}"
    if high is not None and high.high is not None:
        right = f"{shown(high.high.value)}{')' if high.high_open else ']'}"
    return [f"{left}, {right}"]


def _tightest(sides: list[Predicate], *, above: bool) -> Predicate | None:
    """The bound that says most of those on one side. Of several types the first will do."""
    if not sides:
        return None
    first = sides[0]
    for one in sides[1:]:
        mine, theirs = (first.low, one.low) if above else (first.high, one.high)
        assert mine is not None
        assert theirs is not None
        if mine.key[0] != theirs.key[0]:
            continue
        mine_key, their_key = order_key(mine.value), order_key(theirs.value)
        tighter = their_key > mine_key if above else their_key < mine_key
        opens = one.low_open if above else one.high_open
        if tighter or (their_key == mine_key and opens):
            first = one
    return first


def _hashed(index: IndexDefinition, prefix: bytes, by_path: ByPath) -> Access | None:
    access = Access(index, prefix, [])
    rows: list[tuple[Any, ...]] = [()]
    for one in index.fields:
        equal = [each for each in by_path.get(one.path, ()) if each.values is not None]
        if not equal:
            return None
        chosen = min(equal, key=lambda each: len(each.values or ()))
        values = [each.value for each in chosen.values or ()]
        if len(rows) * len(values) > SPANS_MAX:
            return None
        rows = [(*row, value) for row, value in product(rows, values)]
        if chosen.whole:
            access.asked.add(chosen.place)
        access.bounds[path_text(one.path)] = partial(_told, values)
    access.bounded = len(index.fields)
    keys = sorted({hash_key(row, index.secret) for row in rows})
    access.spans = [Range.prefix(prefix + key) for key in keys]
    return access


def _textual(index: IndexDefinition, prefix: bytes, by_path: ByPath) -> Access | None:
    for number, one in enumerate(index.fields):
        for asked in by_path.get(one.path, ()):
            node = asked.node
            if not isinstance(node, Matches):
                continue
            arrays = bool(index.arrays) and index.arrays[number]
            if arrays and excludes(parse(node.text)):
                continue  # One text of an array may lack what another one has.
            access = Access(index, prefix, [], bounded=1, text=node)
            told = f"matches {shown(node.text)}"
            access.bounds = {path_text(one.path): partial(_told_as, told)}
            access.fixed = number
            return access
    return None


def excludes(query: Searched) -> bool:
    """Whether a search says what must not be there."""
    if isinstance(query, Words):
        return False
    return isinstance(query, Without) or any(map(excludes, query.parts))


_MAKERS = {"btree": _ordered, "hash": _hashed, "geo": spatial, "text": _textual}


def _sorted(spans: list[Range]) -> list[Range]:
    """Spans without repetition, in the order of the index."""
    unique = {(span.start or b"", span.end): span for span in spans}
    return [unique[key] for key in sorted(unique, key=lambda key: key[0])]
