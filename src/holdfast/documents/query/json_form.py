"""Queries as JSON: the form that other languages, files and wires use.

    {"where": {"operator": "and", "conditions": [
         {"field": "age", "operator": "gte", "value": 18},
         {"field": "tags", "elemMatch": {"field": [], "operator": "regex", "value": "^a"}},
         {"field": "address", "nested": {"field": "city", "operator": "eq", "value": "Kyoto"}}]},
     "orderBy": [{"field": "age", "direction": "desc"}],
     "limit": 10, "offset": 0, "select": ["name", "address.city"]}

Operators of fields: eq ne gt gte lt lte in nin regex exists matches near within. `near` takes
{"latitude", "longitude", "meters"}, `within` {"west", "south", "east", "north"}. `not` denies that
all of its conditions hold. Instants and bytes in values are {"$datetime": "..."} and {"$bytes":
"..."}; an object of your own with such a single name gets one more `$` before it. What is printed
reads back equal; `canonical` is one text for equal queries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast.documents.query import literals
from holdfast.documents.query.json_checks import object_with, only, refuse, refuse_unknown
from holdfast.documents.query.json_print import where_to_json
from holdfast.documents.query.json_where import point_from_json, where_from_json
from holdfast.documents.query.nodes import And
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import path_form, path_of
from holdfast.documents.query.places import Point
from holdfast.documents.query.query import Query, order_of, selected

_QUERY_NAMES = ("where", "orderBy", "limit", "offset", "select", "after")


def query_from_json(form: Mapping[str, Any] | str | bytes) -> Query:
    """The query that a JSON object, or its text, spells.

    Raises:
        InvalidQuery: it spells none; `path` is the place, such as `where.conditions[2].operator`.
    """
    read = literals.parsed(form, "query")
    if not isinstance(read, Mapping):
        refuse("query", "an object such as {'where': ...}", read, "Put the condition into where")
    only(read, _QUERY_NAMES, "query")
    where, offset, select = read.get("where"), read.get("offset"), read.get("select")
    return Query(
        And() if where is None else where_from_json(where),
        order_from_json(read.get("orderBy"), "orderBy"),
        read.get("limit"),
        0 if offset is None else offset,
        None if select is None else selected(select),
        read.get("after"),
    )


def query_to_json(query: Query) -> dict[str, Any]:
    """The query in plain JSON types; what is as by default is left out."""
    form: dict[str, Any] = {}
    if query.where != And():
        form["where"] = where_to_json(query.where)
    if query.order_by:
        form["orderBy"] = order_to_json(query.order_by)
    if query.limit is not None:
        form["limit"] = query.limit
    if query.offset:
        form["offset"] = query.offset
    if query.select is not None:
        form["select"] = [path_form(path) for path in query.select]
    if query.after is not None:
        form["after"] = query.after
    return form


def canonical(query: Query) -> str:
    """One JSON text for equal queries: names sorted, no spaces, whole numbers without fraction."""
    return json.dumps(
        literals.whole_numbers(query_to_json(query)),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )


def order_to_json(order: tuple[OrderBy, ...]) -> list[dict[str, Any]]:
    """The clauses of an order in plain JSON types."""
    return [
        {
            "field": path_form(clause.path),
            **({} if clause.near is None else {"near": clause.near._asdict()}),
            "direction": "desc" if clause.descending else "asc",
        }
        for clause in order
    ]


def order_from_json(form: Any, path: str) -> tuple[OrderBy, ...]:
    """The clauses that a list of clauses, as objects or texts, spells."""
    if form is None:
        return ()
    if not isinstance(form, (list, tuple)):
        return order_of(form, path)
    return order_of([_clause(one, f"{path}[{at}]") for at, one in enumerate(form)], path)


def _clause(form: Any, path: str) -> Any:
    if not isinstance(form, Mapping):
        return form
    only(form, ("field", "direction", "near"), path)
    direction = form.get("direction", "asc")
    if direction not in ("asc", "desc"):
        refuse_unknown(direction, ("asc", "desc"), f"{path}.direction", "asc or desc")
    near = form.get("near")
    return OrderBy(
        path_of(form.get("field"), f"{path}.field"),
        direction == "desc",
        None if near is None else point_from_json(object_with(near, Point._fields, path), path),
    )
