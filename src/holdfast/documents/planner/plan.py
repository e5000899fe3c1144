"""Choosing a way: what each index would cost, and which one a query takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from holdfast.contract.errors import IndexNotFound, InvalidQuery
from holdfast.documents.indexes.definition import Catalogue, IndexDefinition
from holdfast.documents.indexes.derived import Choices
from holdfast.documents.indexes.writers import analyzer_of
from holdfast.documents.planner.access import accesses, order_given, whole_index
from holdfast.documents.planner.predicates import conjuncts, predicates
from holdfast.documents.planner.statistics import Statistics
from holdfast.documents.planner.way import Access
from holdfast.documents.planner.weighing import Weights, pays
from holdfast.documents.query.nodes import EVERYTHING, Matches, Near, Node, Or, Within, all_of
from holdfast.documents.query.query import Query
from holdfast.documents.query.texts import TextMatcher
from holdfast.documents.text.matching import matcher

#: How many shapes of queries are remembered with the indexes that they took.
CHOICES_MAX: Final = 1000
#: With fewer indexes a choice costs less than remembering it.
_WORTH_REMEMBERING = 8


@lru_cache(maxsize=64)
def text_of(language: str) -> TextMatcher:
    """What prepares full-text searches in a language."""
    return matcher(analyzer_of(language))


@dataclass
class QueryPlan:
    """How a query is answered.

    Attributes:
        query: which.
        ways: accesses whose documents together are all that can match; empty: the collection.
        rest: what is left to be looked at in each document.
        backwards: whether the index is walked from its end.
        ordered: whether documents come in the order of the query, but for ties.
        ties: whether those that sort alike do, too.
        text: prepares full-text searches.
        rejected: the other indexes that would serve.
        nearest: the spatial index by which the nearest are found first.
        missed: names of indexes over fields of the condition that cannot serve it.
        weighed: whether estimates of this query's values decided.
        narrowing: further accesses in which the documents of the only way have to stand, too.
        alone: what is done instead where these hold too many documents.
    """

    query: Query
    ways: list[Access] = field(default_factory=list)
    rest: Node = EVERYTHING
    backwards: bool = False
    ordered: bool = False
    ties: bool = False
    text: TextMatcher = field(default_factory=lambda: text_of(""))
    rejected: list[Access] = field(default_factory=list)
    nearest: IndexDefinition | None = None
    missed: list[str] = field(default_factory=list)
    weighed: bool = False
    narrowing: list[Access] = field(default_factory=list)
    alone: QueryPlan | None = None

    @property
    def names(self) -> frozenset[str]:
        """The indexes it takes."""
        if self.nearest is not None:
            return frozenset((self.nearest.name,))
        return frozenset([way.index.name for way in (*self.ways, *self.narrowing)])

    @property
    def single(self) -> Access | None:
        """The only way, if it is one."""
        return self.ways[0] if len(self.ways) == 1 else None

    @property
    def exact(self) -> bool:
        """Whether the entries alone say which documents match, each once."""
        way = self.single
        if way is None or (self.rest is not EVERYTHING and self.rest != EVERYTHING):
            return False
        return not way.arrays and way.text is None and way.holds is None


def plan_query(
    query: Query,
    keyspace: int,
    catalogue: Catalogue,
    hint: str | None = None,
    choices: Choices | None = None,
    statistics: Statistics | None = None,
) -> QueryPlan:
    """The plan of a query.

    Args:
        hint: the index to use; empty: none.
        choices: what queries of the same shape took; filled here.
        statistics: estimates what ways cost, where there are several; None: rules decide.

    Raises:
        IndexNotFound: there is none of the hint's name.
        InvalidQuery: the index of the hint does not serve the query.
    """
    parts = conjuncts(query.where)
    language = _language(parts, catalogue)
    plan = QueryPlan(query, rest=query.where, text=text_of(language))
    if query.limit == 0:
        return plan
    usable = _usable(catalogue, language, hint)
    if choices is None or hint is not None or len(usable) < _WORTH_REMEMBERING:
        _choose(plan, parts, keyspace, usable, hint, statistics)
        return plan
    shape = query.shape()
    known = choices.get(shape)
    if known is not None:
        names, missed = known
        _choose(plan, parts, keyspace, [one for one in usable if one.name in names], hint)
        plan.missed = missed
        if plan.names == names:
            return plan
        plan = QueryPlan(query, rest=query.where, text=plan.text)
    _choose(plan, parts, keyspace, usable, hint, statistics)
    if plan.weighed:
        return plan
    if len(choices) >= CHOICES_MAX:
        choices.clear()
    choices[shape] = plan.names, plan.missed
    return plan


def _choose(
    plan: QueryPlan,
    parts: tuple[Node, ...],
    keyspace: int,
    usable: Sequence[IndexDefinition],
    hint: str | None,
    statistics: Statistics | None = None,
) -> None:
    """Choose among the usable indexes."""
    query = plan.query
    asked = predicates(parts)
    plan.nearest = _nearest(query, parts, usable)
    if plan.nearest is not None:
        plan.ordered = plan.ties = True
        return
    candidates = accesses(keyspace, usable, asked, parts)
    paths = {one.path for one in asked}
    serving = {access.index.name for access in candidates}
    plan.missed = [
        one.name
        for one in usable
        if one.name not in serving and any(field.path in paths for field in one.fields)
    ]
    candidates += _walked(query, keyspace, usable, serving)
    if hint and not candidates:
        raise InvalidQuery(
            f"hint wanted an index that serves the query; {hint!r} says nothing about its "
            "conditions or order. Leave the hint out",
        )
    unions = [] if hint else _unions(parts, keyspace, usable)
    if len(candidates) > 1:
        candidates.sort(key=lambda access: _rank(access, query), reverse=True)
    weights = None
    if statistics is not None and len(candidates) + len(unions) > 1:
        weights = _weights(plan, candidates, statistics)
    if weights is None:
        best = candidates[0] if candidates else None
        joins = bool(unions) and (best is None or not best.bounded)
        _take(plan, parts, candidates, unions[0] if joins else None)
        return
    plan.weighed = True
    candidates.sort(key=weights.rows)
    union = _joining(candidates, unions, weights)
    _take(plan, parts, candidates, union)
    cost = weights.single(candidates[0]) if union is None else weights.joined(union)
    met = weights.meeting(candidates)
    if met is not None and pays(met.cost, cost):
        plan.alone = replace(plan)
        plan.narrowing = [*met.narrowing]
        chosen = (met.walked, *met.narrowing)
        others = [one for one in candidates if one not in chosen]
        _take(plan, parts, [met.walked, *others], None)


def _take(
    plan: QueryPlan, parts: tuple[Node, ...], candidates: list[Access], union: list[Access] | None
) -> None:
    """Take the union, or else the first of the candidates, or else the collection."""
    order = plan.query.order_by
    plan.rest, plan.backwards, plan.ordered, plan.ties = plan.query.where, False, False, False
    if union is not None:
        plan.ways, plan.rejected = union, candidates
        return
    if not candidates:
        plan.ordered = plan.ties = not order
        return
    best = candidates[0]
    plan.ways, plan.rejected = [best], candidates[1:]
    plan.rest = rest_of(parts, best, *plan.narrowing)
    given = order_given(best, order)
    if given is not None:
        plan.backwards, plan.ties = given
        plan.ordered = True


def _weights(plan: QueryPlan, candidates: list[Access], statistics: Statistics) -> Weights | None:
    """What the candidates cost; None: there is no telling, or no need to."""
    if candidates:
        first = candidates[0]
        if first.index.unique and first.fixed == len(first.index.fields):
            return None
    weights = Weights(plan.query, plan.text, candidates, statistics)
    return weights if weights.able else None


def _joining(
    candidates: list[Access], unions: list[list[Access]], weights: Weights
) -> list[Access] | None:
    """The cheapest union, where one is better than the first of the candidates."""
    if candidates and candidates[0].bounded and weights.few(candidates[0]):
        return None
    union = min(unions, key=weights.joined, default=None)
    if union is None or not candidates:
        return union
    best, joined = candidates[0], weights.joined(union)
    # An index that bounds the query is left for what is clearly cheaper, and so is a union for
    # one that only has the order.
    if best.bounded:
        return union if pays(joined, weights.single(best)) else None
    return None if pays(weights.single(best), joined) else union


def _walked(
    query: Query, keyspace: int, usable: Sequence[IndexDefinition], serving: set[str]
) -> list[Access]:
    """The other indexes whose order is that of the query."""
    if not query.order_by:
        return []
    walked = [
        whole_index(keyspace, index)
        for index in usable
        if index.kind == "btree" and index.name not in serving and not index.sparse
    ]
    return [access for access in walked if order_given(access, query.order_by) is not None]


def _usable(catalogue: Catalogue, language: str, hint: str | None) -> list[IndexDefinition]:
    usable = [
        one
        for one in catalogue.indexes
        if one.state == "ready" and (one.kind != "text" or one.language == language)
    ]
    if hint is None:
        return usable
    if not hint:
        return []
    named = [one for one in usable if one.name == hint]
    if not named:
        raise IndexNotFound(
            f"hint wanted a ready index {hint!r}; there is none. `list_indexes` tells which there "
            "are",
            name=hint,
        )
    return named


def _language(parts: Sequence[Node], catalogue: Catalogue) -> str:
    """The language by which searches of the query are understood: that of the index there is."""
    asked = {one.path for one in parts if isinstance(one, Matches)}
    for index in catalogue.indexes:
        serves = not asked or asked.intersection(field.path for field in index.fields)
        if index.kind == "text" and index.state == "ready" and serves:
            return index.language
    return ""


def _nearest(
    query: Query, parts: Sequence[Node], usable: Sequence[IndexDefinition]
) -> IndexDefinition | None:
    """The spatial index for "the nearest so many": of documents that have a place there."""
    if not query.order_by or query.limit is None or query.after is not None:
        return None
    first = query.order_by[0]
    if first.near is None or first.descending:
        return None
    placed = any(isinstance(one, Near | Within) and one.path == first.path for one in parts)
    for index in usable if placed else ():
        if index.kind == "geo" and index.fields[0].path == first.path:
            return index
    return None


def _unions(
    parts: Sequence[Node], keyspace: int, usable: Sequence[IndexDefinition]
) -> list[list[Access]]:
    """For each condition that is one of several: the best way to each, if all have one."""
    unions: list[list[Access]] = []
    for part in parts:
        if not isinstance(part, Or) or not part.conditions:
            continue
        ways: list[Access] = []
        for condition in part.conditions:
            inner = conjuncts(condition)
            found = accesses(keyspace, usable, predicates(inner), inner)
            found = [one for one in found if one.text is None]
            if not found:
                break
            ways.append(max(found, key=lambda access: (access.fixed, access.bounded)))
        else:
            unions.append(ways)
    return unions


def _rank(access: Access, query: Query) -> tuple[Any, ...]:
    """What speaks for a way, the weightiest first."""
    index = access.index
    single = index.unique and access.fixed == len(index.fields)
    ordered = order_given(access, query.order_by) is not None
    span = access.bounded > access.fixed
    special = index.kind in ("text", "geo")
    equal = access.bounded if index.kind == "hash" else access.fixed
    return (
        single,
        bool(access.bounded),
        special,
        equal + (0.5 if span else 0) + (0.75 if ordered and query.limit is not None else 0),
        ordered,
        len(access.places),
        -len(index.fields),
    )


def rest_of(parts: Sequence[Node], *accesses: Access) -> Node:
    """What is left to be looked at in the documents that all of these accesses find."""
    said = set[int]().union(*[access.places for access in accesses])
    rest = tuple(part for place, part in enumerate(parts) if place not in said)
    return all_of(rest) if rest else EVERYTHING
