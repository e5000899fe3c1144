"""Conditions in plain JSON types: what `json_form` reads back equal."""

from __future__ import annotations

from typing import Any

from holdfast.documents.query.literals import to_json
from holdfast.documents.query.nodes import (
    And,
    Comparison,
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
)
from holdfast.documents.query.paths import Path, path_form


def where_to_json(node: Node) -> dict[str, Any]:  # noqa: C901 - one case for each kind of node
    """The condition in plain JSON types."""
    match node:
        case Comparison(path, operator, value):
            return _condition(path, operator, to_json(value.value))
        case Membership(path, values, negated):
            return _condition(
                path, "nin" if negated else "in", [to_json(one.value) for one in values]
            )
        case Exists(path, present):
            return _condition(path, "exists", present)
        case Regex(path, pattern):
            return _condition(path, "regex", pattern)
        case Matches(path, text):
            return _condition(path, "matches", text)
        case Near(path, point, meters):
            place = point._asdict()
            return _condition(path, "near", place if meters is None else place | {"meters": meters})
        case Within(path, box):
            return _condition(path, "within", box._asdict())
        case ElementMatch(path, condition):
            return {"field": path_form(path), "elemMatch": where_to_json(condition)}
        case Nested(path, condition):
            return {"field": path_form(path), "nested": where_to_json(condition)}
        case And(conditions):
            return {"operator": "and", "conditions": [where_to_json(one) for one in conditions]}
        case Or(conditions):
            return {"operator": "or", "conditions": [where_to_json(one) for one in conditions]}
        case Not(condition):
            return {"operator": "not", "conditions": [where_to_json(condition)]}
    raise AssertionError(f"no JSON form for {type(node).__name__}")


def _condition(path: Path, operator: str, value: Any) -> dict[str, Any]:
    return {"field": path_form(path), "operator": operator, "value": value}
