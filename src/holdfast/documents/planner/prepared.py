"""The plan of a query made from that of another one of the same shape: only its values are new.

Most queries of a program differ in their values alone. For those that compare fields with single
values, and that one span of a btree index serves, the choice and all that follows from it is kept;
what is left is to encode the values.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.contract.record import Range, after_prefix
from holdfast.documents.entries import CUT_END
from holdfast.documents.planner.plan import QueryPlan, rest_of
from holdfast.documents.planner.way import Access, Recipe
from holdfast.documents.query.nodes import EVERYTHING, And, Comparison, Node
from holdfast.documents.query.query import Query
from holdfast.documents.query.values import BOOL, INSTANT, MISSING, NUMBER, TEXT

#: Values whose bounds are of one kind whatever they are: not null, which the missing equal too.
_SINGLE: Final = frozenset((NUMBER, TEXT, BOOL, INSTANT))
_OPERATORS: Final = frozenset(("eq", "gt", "gte", "lt", "lte"))


def shape_of(query: Query) -> Hashable | None:
    """What queries have in common that are planned alike; None: there may be more to it."""
    where = query.where
    shape: list[Hashable] = []
    for part in where.conditions if type(where) is And else (where,):
        if type(part) is not Comparison:
            return None
        bracket = part.value.key[0]
        if bracket not in _SINGLE or part.operator not in _OPERATORS or not part.path:
            return None
        shape += (part.path, part.operator, bracket)
    if query.order_by and any(one.near is not None for one in query.order_by):
        return None
    return (tuple(shape), query.order_by, query.limit is None)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a plan has that does not depend on the values of its query."""

    access: Access
    recipe: Recipe
    plan: QueryPlan
    #: Whether the span says all of the condition, so that no document is looked at again.
    whole: bool

    @classmethod
    def of(cls, plan: QueryPlan) -> Prepared | None:
        """What is kept of a plan; None: it is not as simple as that."""
        access = plan.single
        if access is None or access.recipe is None or len(access.spans) > 1 or plan.weighed:
            return None  # What was weighed may be otherwise with other values.
        return cls(access, access.recipe, plan, plan.rest is EVERYTHING)

    @property
    def parts(self) -> tuple[Node, ...]:
        """The conjuncts of the query that was planned."""
        where = self.plan.query.where
        return where.conditions if type(where) is And else (where,)

    @property
    def uncut(self) -> bool:
        """Whether no row within a span has a component that was cut.

        Those that equal an exact value are whole, and so is whatever lies between numbers.
        """
        recipe, parts = self.recipe, self.parts
        bounds = [parts[at] for at in (recipe.low, recipe.high) if at is not None]
        numbers = all(isinstance(one, Comparison) and one.value.key[0] == NUMBER for one in bounds)
        return len(recipe.equal) + bool(bounds) == len(self.access.index.fields) and numbers

    def span(self, values: Sequence[object]) -> tuple[bytes, bytes] | None:
        """Where in the index the documents stand for which the conjuncts compare with these.

        None: the values want a plan of their own.
        """
        known, recipe = self.access, self.recipe
        order = known.order
        assert order is not None
        low, high, prefix = recipe.low, recipe.high, known.prefix
        fixed = tuple([values[at] for at in recipe.equal])
        if low is None and high is None:
            components, exact = order.components(fixed)
            start = prefix + components
            return (start, start + CUT_END) if exact else None
        first, end, exact = order.edges(
            fixed,
            MISSING if low is None else values[low],
            MISSING if high is None else values[high],
            low_open=recipe.low_open,
            high_open=recipe.high_open,
        )
        behind = after_prefix(prefix) if end is None else prefix + end
        return (prefix + first, behind) if exact and behind is not None else None

    def bind(self, query: Query) -> QueryPlan | None:
        """The plan of another query of that shape; None: its values want one of their own."""
        where = query.where
        parts: tuple[Node, ...] = where.conditions if type(where) is And else (where,)
        known, model = self.access, self.plan
        values = [_value(part) for part in parts]
        between = self.span(values)
        if between is None:
            return None
        span = Range(*between)
        access = Access(
            known.index, known.prefix, [] if span.empty else [span], known.places, known.fixed,
            tuple([values[place] for place in self.recipe.equal]), known.bounded, {}, known.order,
        )  # fmt: skip
        return QueryPlan(
            query, [access], EVERYTHING if self.whole else rest_of(parts, access),
            model.backwards, model.ordered, model.ties, model.text, model.rejected, None,
            model.missed,
        )  # fmt: skip


def _value(part: Node) -> object:
    assert isinstance(part, Comparison)
    return part.value.value
