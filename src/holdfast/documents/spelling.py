"""What the calls of a collection are given, as a query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from holdfast.contract.errors import InvalidInput
from holdfast.documents.query.expression import parse_expression
from holdfast.documents.query.json_form import query_from_json
from holdfast.documents.query.query import Query

#: What the JSON form of a whole query has, and that of a condition has not.
_WHOLE: Final = frozenset(("where", "orderBy", "limit", "offset", "select"))


def as_query(
    conditions: tuple[Any, ...],
    order_by: Any,
    limit: int | None,
    offset: int,
    select: Iterable[Any] | None,
    after: str | None,
    equal: dict[str, Any],
) -> Query:
    """A query from what a call was given. Raises InvalidQuery."""
    if len(conditions) == 1 and _is_whole(conditions[0]):
        conditions = (query_from_json(conditions[0]),)
    if len(conditions) == 1 and isinstance(conditions[0], Query):
        if equal or order_by or offset or select is not None or after is not None:
            raise InvalidInput(
                "give a whole Query, or its parts; found both. Put the parts into the Query"
            )
        whole = conditions[0]
        if limit is None or limit == whole.limit:
            return whole
        return Query(whole.where, whole.order_by, limit, whole.offset, whole.select, whole.after)
    spelled = [parse_expression(one) if isinstance(one, str) else one for one in conditions]
    return Query.of(
        *spelled, order_by=order_by, limit=limit, offset=offset, select=select, after=after,
        **equal,
    )  # fmt: skip


def _is_whole(condition: Any) -> bool:
    """Whether it is the JSON form of a whole query, and not of a condition."""
    return isinstance(condition, Mapping) and not _WHOLE.isdisjoint(condition)
