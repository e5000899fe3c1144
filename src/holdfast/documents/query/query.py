"""A query: which documents, in what order, which page of them, and what of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query.fields import Field, equalities
from holdfast.documents.query.json_where import where_from_json
from holdfast.documents.query.nodes import EVERYTHING, Node, all_of
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import Path, path_of, path_text

ORDER_CLAUSES_MAX = 32
"""How many clauses an order has at most."""

SELECTED_PATHS_MAX = 1000
"""How many paths a query selects at most."""

PAGE_ROWS_MAX = 2**53
"""The greatest limit and offset."""


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. Immutable, hashable, equal to queries of the same meaning and shape.

    Attributes:
        where: the condition; `EVERYTHING` by default.
        order_by: clauses, the most important first; none: by key.
        limit: how many results at most; None: all; 0: none.
        offset: how many results are left out first, counted behind `after`.
        select: the paths to keep of each document; None: the whole document.
        after: the cursor of the result behind which the page begins.
    """

    where: Node = EVERYTHING
    order_by: tuple[OrderBy, ...] = ()
    limit: int | None = None
    offset: int = 0
    select: tuple[Path, ...] | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            checked_count(self.limit, "limit")
        checked_count(self.offset, "offset")
        checked_after(self.after)

    @classmethod
    def of(
        cls,
        *conditions: Node | Mapping[str, Any],
        order_by: Any = (),
        limit: int | None = None,
        offset: int = 0,
        select: Iterable[Any] | None = None,
        after: str | None = None,
        **equal: Any,
    ) -> Query:
        r"""A query from conditions, as nodes or as JSON, and from names that equal values.

        `order_by` is one clause or several: `F.x`, `-F.x`, `"x"`, `"-x"` (a name that begins with
        a dash: `r"\-x"`); None is no order. `select` holds fields or texts.

        Raises:
            InvalidQuery: a part is not what it should be; the message names it.
        """
        return cls(
            all_of((*_nodes(conditions), *equalities(equal)))
            if conditions or equal
            else EVERYTHING,
            () if order_by is None else order_of(order_by),
            limit,
            offset,
            None if select is None else selected(select),
            after,
        )

    def shape(self) -> str:
        """The query without its values: equal for queries that one plan serves."""
        order = ",".join(clause.shape() for clause in self.order_by)
        kept = "*" if self.select is None else ",".join(repr(path_text(p)) for p in self.select)
        page = f"{self.limit is not None:d}{self.offset > 0:d}{self.after is not None:d}"
        return f"{self.where.shape()}|{order}|{kept}|{page}"


def _nodes(conditions: tuple[Any, ...]) -> Iterable[Node]:
    for at, condition in enumerate(conditions):
        if isinstance(condition, Node):
            yield condition
        elif isinstance(condition, Mapping):
            yield where_from_json(condition)
        else:
            raise InvalidQuery(
                f"condition {at + 1} wanted a condition such as F.age >= 18, or its JSON form; "
                f"found a {type(condition).__name__}. Give values to names: country='JP'",
                position=at,
            )


def order_of(spelling: Any, where: str = "order_by") -> tuple[OrderBy, ...]:
    """The clauses that one field, text or clause, or several of them, spell."""
    several = spelling if isinstance(spelling, (list, tuple)) else (spelling,)
    if len(several) > ORDER_CLAUSES_MAX:
        raise InvalidQuery(
            f"{where} wanted at most {ORDER_CLAUSES_MAX} clauses; found {len(several)}. "
            "Leave out the last",
            path=where,
        )
    return tuple(_clause(one, where) for one in several)


def _clause(spelling: Any, where: str) -> OrderBy:
    if isinstance(spelling, OrderBy):
        return spelling
    if isinstance(spelling, Field):
        return OrderBy(spelling.path_of_field())
    if isinstance(spelling, str):
        descending = spelling.startswith("-")
        return OrderBy(path_of(spelling[descending:], where), descending)
    raise InvalidQuery(
        f"{where} wanted a field (F.x), its opposite (-F.x) or a text ('x', '-x'); found a "
        f"{type(spelling).__name__}. Name the field to order by",
        path=where,
    )


def checked_count(value: Any, where: str) -> int:
    """A limit or offset. Raises InvalidQuery unless it is an int from 0 up."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= PAGE_ROWS_MAX:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        found = "a negative one" if value < 0 else f"one beyond {PAGE_ROWS_MAX}"
    else:
        found = f"a {type(value).__name__}"
    raise InvalidQuery(
        f"{where} wanted a whole number from 0 up; found {found}. "
        "Leave it out for all results; 0 gives none",
        path=where,
    )


def selected(paths: Any, where: str = "select") -> tuple[Path, ...]:
    """The paths of a projection, each once. Raises InvalidQuery when there are none or too many."""
    if isinstance(paths, (str, Field)) or not isinstance(paths, Iterable):
        raise InvalidQuery(
            f"{where} wanted a list of fields; found a {type(paths).__name__}. Put it into a list",
            path=where,
        )
    several = list(paths)
    if not 0 < len(several) <= SELECTED_PATHS_MAX:
        raise InvalidQuery(
            f"{where} wanted 1 to {SELECTED_PATHS_MAX} fields; found {len(several)}. "
            "Leave select out for whole documents",
            path=where,
        )
    found = (
        one.path_of_field() if isinstance(one, Field) else path_of(one, f"{where}[{at}]")
        for at, one in enumerate(several)
    )
    unique = tuple(dict.fromkeys(found))
    if () in unique:
        raise InvalidQuery(
            f"{where} wanted names of fields; found an empty path. "
            "Leave select out for whole documents",
            path=where,
        )
    return unique


def checked_after(after: Any) -> None:
    """Raise InvalidQuery unless it is a text or None; whether it fits is seen when it is read."""
    if after is None or isinstance(after, str):
        return
    raise InvalidQuery(
        f"after wanted the cursor of a result, a text; found a {type(after).__name__}. "
        "Pass what the page before gave",
        path="after",
    )
