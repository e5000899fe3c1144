"""Conditions as text: what `expression` reads back, but for an `and` or `or` of one condition."""

from __future__ import annotations

import json
from datetime import datetime
from keyword import iskeyword
from typing import Any

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
from holdfast.documents.query.paths import Path

_SIGNS = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NOT_NAMES = ("F", "true", "false", "null")


def expression_text(node: Node) -> str:  # noqa: C901 - one case for each kind of node
    """The condition in the language of `parse_expression`."""
    match node:
        case Comparison(path, operator, value):
            return f"{_path(path)} {_SIGNS[operator]} {_literal(value.value)}"
        case Membership(path, values, negated):
            listed = ", ".join(_literal(one.value) for one in values)
            return f"{_path(path)} {'not in' if negated else 'in'} [{listed}]"
        case Exists(path, present):
            return f"{_path(path)}.exists({'' if present else 'false'})"
        case Regex(path, pattern):
            return f"{_path(path)}.regex({_literal(pattern)})"
        case Matches(path, text):
            return f"{_path(path)}.matches({_literal(text)})"
        case Near(path, (latitude, longitude), meters):
            further = "" if meters is None else f", {meters!r}"
            return f"{_path(path)}.near({latitude!r}, {longitude!r}{further})"
        case Within(path, box):
            edges = ", ".join(f"{name}={edge!r}" for name, edge in box._asdict().items())
            return f"{_path(path)}.within({edges})"
        case ElementMatch(path, condition):
            return f"{_path(path)}.elem_match({expression_text(condition)})"
        case Nested(path, condition):
            return f"{_path(path)}.nested({expression_text(condition)})"
        case And(conditions):
            return _joined(" and ", conditions) or "true"
        case Or(conditions):
            return _joined(" or ", conditions) or "false"
        case Not(condition):
            return f"not ({expression_text(condition)})"
    raise AssertionError(f"no text for {type(node).__name__}")


def _joined(word: str, conditions: tuple[Node, ...]) -> str:
    return word.join(f"({expression_text(one)})" for one in conditions)


def _path(path: Path) -> str:
    if not path:
        return "F"
    first = path[0]
    plain = first.isascii() and first.isidentifier() and not iskeyword(first)
    text = first if plain and first not in _NOT_NAMES else f"F[{_literal(first)}]"
    for part in path[1:]:
        plain = part.isascii() and part.isidentifier() and not iskeyword(part)
        text += f".{part}" if plain else f"[{_literal(part)}]"
    return text


def _literal(value: Any) -> str:
    match value:
        case None | bool():
            return json.dumps(value)
        case int() | float() | bytes():
            return repr(value)
        case str():
            # Python reads JSON's escapes but for pairs of surrogates, which are left unescaped.
            return json.dumps(value, ensure_ascii=False)
        case datetime():
            return f'datetime("{value.isoformat()}")'
        case list():
            return f"[{', '.join(map(_literal, value))}]"
    return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
