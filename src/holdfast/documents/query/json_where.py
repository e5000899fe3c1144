"""Conditions read from JSON; see `holdfast.documents.query.json_form` for the form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query import literals
from holdfast.documents.query.fields import members, wanted_text
from holdfast.documents.query.json_checks import object_with, only, refuse, refuse_unknown
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
from holdfast.documents.query.paths import Path, path_of
from holdfast.documents.query.places import Box, Point, checked_box, checked_meters, checked_point
from holdfast.documents.query.values import Constant

_LOGICAL = ("and", "or", "not")


def where_from_json(form: Any, path: str = "where", deep: int = 0) -> Node:
    """The condition that a JSON object spells. Raises InvalidQuery with its `path`."""
    if isinstance(form, Node):
        return form
    if not isinstance(form, Mapping):
        refuse(path, "a condition, an object", form, "Write {'field', 'operator', 'value'}")
    if deep == NODES_DEEP_MAX:
        raise InvalidQuery(
            f"{path[:200]}... wanted conditions at most {NODES_DEEP_MAX} deep inside each other; "
            "found more. Join conditions of one kind in one list",
            path=path[:200],
            limit=NODES_DEEP_MAX,
        )
    if "field" not in form:
        if form and "operator" not in form:
            _refuse_named(form, path)
        return _logical(form, path, deep)
    field = path_of(form["field"], f"{path}.field")
    for name, kind in (("nested", Nested), ("elemMatch", ElementMatch)):
        if name in form:
            only(form, ("field", name), path)
            return kind(field, where_from_json(form[name], f"{path}.{name}", deep + 1))
    only(form, ("field", "operator", "value"), path)
    operator = form.get("operator")
    reader = _READERS.get(operator) if isinstance(operator, str) else None
    if reader is None:
        refuse_unknown(operator, (*_READERS,), f"{path}.operator", "an operator of fields")
    if "value" not in form:
        raise InvalidQuery(
            f"{path} wanted a value for {operator}; found none. Add 'value' (null is a value too)",
            path=f"{path}.value",
        )
    return reader(field, form["value"], f"{path}.value")


def _refuse_named(form: Mapping[str, Any], path: str) -> NoReturn:
    """Refuse a condition that has its field for a name, as those of MongoDB have."""
    name = next(iter(form))
    shown = repr(name[:80]) if isinstance(name, str) else f"a {type(name).__name__}"
    raise InvalidQuery(
        f"{path} wanted an object such as {{'field': 'age', 'operator': 'gte', 'value': 18}} or "
        f"{{'operator': 'and', 'conditions': [...]}}; found {shown}. Name a field behind 'field', "
        "or write F.age >= 18",
        path=path,
    )


def _logical(form: Mapping[str, Any], path: str, deep: int) -> Node:
    only(form, ("operator", "conditions"), path, "field")
    operator = form.get("operator")
    if operator not in _LOGICAL:
        if operator in _READERS:
            raise InvalidQuery(
                f"{path} wanted a field for {operator}; found none. Add 'field'", path=path
            )
        refuse_unknown(operator, _LOGICAL, f"{path}.operator", "and, or, not, or a field beside it")
    found = form.get("conditions")
    place = f"{path}.conditions"
    if not isinstance(found, (list, tuple)):
        refuse(place, "a list of conditions", found, "Put the conditions into a list")
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
        refuse(path, "true or false", value, "Write true for fields that are there")
    return Exists(field, value)


def _regex(field: Path, value: Any, path: str) -> Node:
    return Regex(field, wanted_text(value, path))


def _matches(field: Path, value: Any, path: str) -> Node:
    return Matches(field, wanted_text(value, path))


def _near(field: Path, value: Any, path: str) -> Node:
    found = object_with(value, ("latitude", "longitude", "meters"), path)
    meters = found.get("meters")
    return Near(
        field,
        point_from_json(found, path),
        None if meters is None else checked_meters(meters, f"{path}.meters"),
    )


def _within(field: Path, value: Any, path: str) -> Node:
    found = object_with(value, Box._fields, path)
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


def point_from_json(found: Mapping[str, Any], path: str) -> Point:
    """The place of an object with latitude and longitude. Raises InvalidQuery."""
    return checked_point(found.get("latitude"), found.get("longitude"), path)
