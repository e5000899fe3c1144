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
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query import literals
from holdfast.documents.query.fields import members, wanted_text
from holdfast.documents.query.json_print import where_to_json
from holdfast.documents.query.nodes import (
    COMPARISONS,
    NODES_DEEP_MAX,
    And,
    Comparison,
    ComparisonOperator,
    ElementMatch,
    Exists,
    Matches,
    Membership,
    Near,
    Nested,
    Node,
    Not,
    Or,
    Regex,
    Within,
    all_of,
)
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import Path, path_form, path_of
from holdfast.documents.query.places import Box, Point, checked_box, checked_meters, checked_point
from holdfast.documents.query.query import Query, order_of, selected
from holdfast.documents.query.values import Constant

_LOGICAL = ("and", "or", "not")
_QUERY_NAMES = ("where", "orderBy", "limit", "offset", "select", "after")


def query_from_json(form: Mapping[str, Any] | str | bytes) -> Query:
    """The query that a JSON object, or its text, spells.

    Raises:
        InvalidQuery: it spells none; `path` is the place, such as `where.conditions[2].operator`.
    """
    read = literals.parsed(form, "query")
    if not isinstance(read, Mapping):
        _refuse("query", "an object such as {'where': ...}", read, "Put the condition into where")
    _only(read, _QUERY_NAMES, "query")
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


def where_from_json(form: Any, path: str = "where", deep: int = 0) -> Node:
    """The condition that a JSON object spells. Raises InvalidQuery with its `path`."""
    if isinstance(form, Node):
        return form
    if not isinstance(form, Mapping):
        _refuse(path, "a condition, an object", form, "Write {'field', 'operator', 'value'}")
    if deep == NODES_DEEP_MAX:
        raise InvalidQuery(
            f"{path[:200]}... wanted conditions at most {NODES_DEEP_MAX} deep inside each other; "
            "found more. Join conditions of one kind in one list",
            path=path[:200],
            limit=NODES_DEEP_MAX,
        )
    if "field" not in form:
        return _logical(form, path, deep)
    field = path_of(form["field"], f"{path}.field")
    for name, kind in (("nested", Nested), ("elemMatch", ElementMatch)):
        if name in form:
            _only(form, ("field", name), path)
            return kind(field, where_from_json(form[name], f"{path}.{name}", deep + 1))
    _only(form, ("field", "operator", "value"), path)
    operator = form.get("operator")
    reader = _READERS.get(operator) if isinstance(operator, str) else None
    if reader is None:
        _unknown(operator, (*_READERS,), f"{path}.operator", "an operator of fields")
    if "value" not in form:
        raise InvalidQuery(
            f"{path} wanted a value for {operator}; found none. Add 'value' (null is a value too)",
            path=f"{path}.value",
        )
    return reader(field, form["value"], f"{path}.value")


def _logical(form: Mapping[str, Any], path: str, deep: int) -> Node:
    _only(form, ("operator", "conditions"), path, "field")
    operator = form.get("operator")
    if operator not in _LOGICAL:
        if operator in _READERS:
            raise InvalidQuery(
                f"{path} wanted a field for {operator}; found none. Add 'field'", path=path
            )
        _unknown(operator, _LOGICAL, f"{path}.operator", "and, or, not, or a field beside it")
    found = form.get("conditions")
    place = f"{path}.conditions"
    if not isinstance(found, (list, tuple)):
        _refuse(place, "a list of conditions", found, "Put the conditions into a list")
    conditions = tuple(
        [where_from_json(one, f"{place}[{at}]", deep + 1) for at, one in enumerate(found)]
    )
    if operator == "not":
        return Not(all_of(conditions))
    return And(conditions) if operator == "and" else Or(conditions)


def _comparing(operator: ComparisonOperator) -> Callable[[Path, Any, str], Node]:
    def read(field: Path, value: Any, path: str) -> Node:
        return Comparison(field, operator, Constant(literals.from_json(value, path), path))

    return read


def _members(field: Path, value: Any, path: str, negated: bool = False) -> Node:
    read = [literals.from_json(one, path) for one in value] if isinstance(value, list) else value
    return Membership(field, members(read, path), negated)


def _not_members(field: Path, value: Any, path: str) -> Node:
    return _members(field, value, path, negated=True)


def _exists(field: Path, value: Any, path: str) -> Node:
    if not isinstance(value, bool):
        _refuse(path, "true or false", value, "Write true for fields that are there")
    return Exists(field, value)


def _regex(field: Path, value: Any, path: str) -> Node:
    return Regex(field, wanted_text(value, path))


def _matches(field: Path, value: Any, path: str) -> Node:
    return Matches(field, wanted_text(value, path))


def _near(field: Path, value: Any, path: str) -> Node:
    found = _object(value, ("latitude", "longitude", "meters"), path)
    meters = found.get("meters")
    return Near(
        field,
        _point(found, path),
        None if meters is None else checked_meters(meters, f"{path}.meters"),
    )


def _within(field: Path, value: Any, path: str) -> Node:
    found = _object(value, Box._fields, path)
    return Within(field, checked_box(*map(found.get, Box._fields), where=path))


_READERS: dict[str, Callable[[Path, Any, str], Node]] = {
    **{operator: _comparing(operator) for operator in COMPARISONS},
    "in": _members,
    "nin": _not_members,
    "regex": _regex,
    "exists": _exists,
    "matches": _matches,
    "near": _near,
    "within": _within,
}

OPERATORS = (*_READERS,)
"""The operators of fields, by their names in JSON."""


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
    _only(form, ("field", "direction", "near"), path)
    direction = form.get("direction", "asc")
    if direction not in ("asc", "desc"):
        _unknown(direction, ("asc", "desc"), f"{path}.direction", "asc or desc")
    near = form.get("near")
    return OrderBy(
        path_of(form.get("field"), f"{path}.field"),
        direction == "desc",
        None if near is None else _point(_object(near, Point._fields, path), path),
    )


def _point(found: Mapping[str, Any], path: str) -> Point:
    return checked_point(found.get("latitude"), found.get("longitude"), path)


def _object(value: Any, names: tuple[str, ...], path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(path, f"an object with {', '.join(names)}", value, "Name the numbers")
    _only(value, names, path)
    return value


def _only(form: Mapping[str, Any], names: tuple[str, ...], path: str, *also: str) -> None:
    for name in form:
        if name not in names:
            _unknown(name, (*names, *also), path, f"only {', '.join((*names, *also))}")


def _unknown(found: Any, known: tuple[str, ...], path: str, wanted: str) -> NoReturn:
    if not isinstance(found, str):
        _refuse(path, wanted, found, f"Use one of {', '.join(known)}")
    close = get_close_matches(found.lstrip("$"), known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
    raise InvalidQuery(f"{path} wanted {wanted}; found {found[:80]!r}; {hint}", path=path)


def _refuse(path: str, wanted: str, found: Any, advice: str) -> NoReturn:
    shown = "nothing" if found is None else f"a {type(found).__name__}"
    raise InvalidQuery(f"{path} wanted {wanted}; found {shown}. {advice}", path=path)
