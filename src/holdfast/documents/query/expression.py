"""Conditions as text, for the command line: `population > 1000000 and country == "JP"`.

    expression   and   or   not   ( )   true (every document)   false (none)
    comparison   path == value    != < <= > >=    1 <= path < 5    path in [..]    path not in [..]
    path         name   address.city   tags[0]   row["a.b"]   F["class"]   F (the value itself)
    value        1   -2.5   "text"   r"text"   true   false   null   [..]   {"name": ..}   b"bytes"
                 datetime("2025-01-31T12:00:00Z")
    call         path.exists()   .exists(false)   .regex(r"^A")   .matches("red fox")
                 .near(35.0, 135.7, 5000)   .within(west=.., south=.., east=.., north=..)
                 .any("a", "b")   .any(F > 5)   .elem_match(qty > 5, F.price < 3)   .nested(..)

The syntax is Python's, read by Python's own parser and never run: what is not in this list is
refused with its place. `F.` before a path may be left out; with it a path reads as the builder's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NoReturn, TypeVar

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query.fields import Field, members
from holdfast.documents.query.nodes import (
    And,
    Comparison,
    ComparisonOperator,
    Membership,
    Node,
    Not,
    Or,
)
from holdfast.documents.query.values import Constant

T = TypeVar("T")

EXPRESSION_CHARACTERS_MAX = 1 << 20
"""The longest expression, in characters."""

_ROOT = "F"
_LIKE_THIS = "Write it like: age >= 18 and (name == 'Ada' or city in ['Oslo', 'Rome'])"
_OPERATORS: dict[type[ast.cmpop], ComparisonOperator] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Gt: "gt",
    ast.GtE: "gte",
    ast.Lt: "lt",
    ast.LtE: "lte",
}
# What an operator becomes when its sides are swapped.
_MIRRORED: dict[str, ComparisonOperator] = {
    "eq": "eq", "ne": "ne", "gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte",
}  # fmt: skip
_WORDS = {"true": True, "false": False, "null": None}
_METHODS = ("exists", "regex", "matches", "near", "within", "any", "elem_match", "nested")

_TOKEN = re.compile(
    r"(?P<prefix>[A-Za-z]{0,2})(?P<quote>\"\"\"|'''|[\"'])"
    r"|(?P<number>\d[\d_.]*(?:[eE][+-]?\d+)?[A-Za-z]?)"
    r"|(?P<name>\w+)"
    r"|(?P<comment>#[^\n]*)"
    r"|(?P<bracket>[()])"
    r"|(?P<control>[\x00-\x08\x0b\x0c\x0e-\x1f])"
)
_ESCAPE = re.compile(r"""\\(?:[\\'"abfnrtvxNuU\n]|[0-3][0-7]{0,2}|[4-7][0-7]?(?![0-7]))""")


_NAME_AT_END = re.compile(r"\w+$")


class _Nothing:
    """What an empty branch stands for: no literal."""


_NOTHING: Final = _Nothing()


def parse_expression(text: str) -> Node:
    """The condition that a text spells.

    Raises:
        InvalidQuery: it spells none; `position` is the character, from 0, where it goes wrong.
    """
    if not isinstance(text, str):
        raise InvalidQuery(
            f"an expression is a text such as 'age >= 18'; found a {type(text).__name__}"
        )
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        raise InvalidQuery(
            f"an expression has at most {EXPRESSION_CHARACTERS_MAX} characters; found {len(text)}. "
            "Give long lists in the JSON form",
            limit=EXPRESSION_CHARACTERS_MAX,
        )
    text = text.replace("\r", " ")  # Python would see the end of a line in it.
    try:
        return _Reader(text).condition(_parsed(text))
    except RecursionError as error:
        _refuse(0, "a condition", "one too deep", "Use the JSON form, or simplify it", error)


def _parsed(text: str) -> ast.expr:
    if not text.strip():
        _refuse(0, "a condition such as 'age >= 18'", "nothing", "Leave it out to mean everything")
    _look_at_tokens(text)
    try:
        # Behind a parenthesis, so that a text may begin with a space or go over several lines.
        return ast.parse(f"({text}\n)", mode="eval").body
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        before = sum(len(one) + 1 for one in f"({text}".split("\n")[: line - 1])
        position = min(max(before + column - 2, 0), len(text))
        _refuse(position, "a condition", f"what does not parse ({error.msg})", _LIKE_THIS, error)
    except (ValueError, RecursionError, MemoryError) as error:
        _refuse(0, "a condition", "one that cannot be parsed", "Shorten or simplify it", error)


def _look_at_tokens(text: str) -> None:
    """Refuse what Python's parser only warns of, and would warn the whole process of."""
    at = opened = 0
    while match := _TOKEN.search(text, at):
        at = match.end()
        if match["number"] and text[at - 1].isalpha() and text[at : at + 1].isalnum():
            _refuse(at - 1, "a decimal number", "a letter in it", "Put a space behind a number")
        if match["control"]:
            _refuse(
                at - 1, "printable text", "a control character", "Write an escape such as \\x00"
            )
        if match["bracket"]:
            opened += 1 if match["bracket"] == "(" else -1
            if opened < 0:
                _refuse(at - 1, "'(' before ')'", "a ')' too many", "Take it out")
        if match["quote"]:
            at = _text_end(text, at, match["quote"], raw="r" in match["prefix"].lower())


def _text_end(text: str, at: int, quote: str, *, raw: bool) -> int:
    """The character behind the text that began before `at`."""
    if len(quote) > 1:
        _refuse(at - len(quote), "a text in single quotes", "three in a row", "Use one pair")
    while at < len(text) and text[at] != quote:
        if text[at] == "\\":
            if not raw and not _ESCAPE.match(text, at):
                advice = f"Write a text that keeps its backslashes as r{quote}...{quote}"
                _refuse(at, "an escape such as \\n", "a backslash that begins none", advice)
            at += 1
        at += 1
    return at + 1


class _Reader:
    """Reads the parsed form of one text."""

    def __init__(self, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            advice = "Decode its source with the right codec"
            _refuse(error.start, "Unicode text", "a lone surrogate", advice, error)
        self._lines = [line.encode() for line in f"({text}".split("\n")]

    def condition(self, node: ast.expr) -> Node:
        match node:
            case ast.BoolOp(op, values):
                conditions = tuple([self.condition(one) for one in values])
                return And(conditions) if isinstance(op, ast.And) else Or(conditions)
            case ast.UnaryOp(ast.Not(), operand):
                return Not(self.condition(operand))
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(ast.Attribute(), _, _):
                return self._call(node)
            case ast.Name("true") | ast.Constant(True):
                return And(())
            case ast.Name("false") | ast.Constant(False):
                return Or(())
            case ast.Name() | ast.Attribute() | ast.Subscript():
                advice = "Compare it, such as 'active == true', or ask path.exists()"
                self._refuse(node, "a condition", "a path alone", advice)
        advice = "Compare a path with a value; join with and, or"
        return self._refuse(node, "a condition", _described(node), advice)

    def _comparison(self, node: ast.Compare) -> Node:
        sides = [node.left, *node.comparators]
        conditions = [
            self._pair(left, operator, right, node)
            for left, operator, right in zip(sides, node.ops, sides[1:], strict=False)
        ]
        return conditions[0] if len(conditions) == 1 else And(tuple(conditions))

    def _pair(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, node: ast.expr) -> Node:
        field, value = self._field(left), self.literal(right)
        if isinstance(operator, (ast.In, ast.NotIn)):
            return self._membership(field, right, value, isinstance(operator, ast.NotIn))
        name = _OPERATORS.get(type(operator))
        if name is None:
            self._refuse(node, "== != < <= > >= or in", "'is'", "Write == null, or path.exists()")
        if field is None and value is _NOTHING:
            field, value = self._field(right), self.literal(left)
            name = _MIRRORED[name]
        if field is None:
            advice = "Put a path on one side and a value on the other"
            self._refuse(left, "a path to compare", _described(left), advice)
        if value is _NOTHING:
            self._refuse(right, "a value to compare with", _described(right), _hint(right))
        path = field.path_of_field()
        return self._tell(right, lambda: Comparison(path, name, Constant(value)))

    def _membership(self, field: Field | None, right: ast.expr, value: Any, negated: bool) -> Node:
        if field is None:
            advice = 'For an array write tags.any("a")'
            self._refuse(right, "a path before 'in'", "something else", advice)
        if value is _NOTHING:
            self._refuse(right, "a list of values behind 'in'", _described(right), _hint(right))
        path = field.path_of_field()
        return self._tell(right, lambda: Membership(path, members(value, "in"), negated))

    def _call(self, node: ast.Call) -> Node:
        assert isinstance(node.func, ast.Attribute)
        name = node.func.attr
        field = self._field(node.func.value)
        if field is None:
            self._refuse(
                node, "a path before the call", _described(node.func.value), "Name a field"
            )
        if name not in _METHODS:
            _close(self._position(node), f"one of {', '.join(_METHODS)}", name, _METHODS)
        arguments = [self._argument(one) for one in node.args]
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                self._refuse(keyword.value, "arguments by name", "**", "Write name=value")
            named[keyword.arg] = self._argument(keyword.value)
        # Not by attribute: a field may have the name of the method.
        method: Callable[..., Node] = getattr(Field, name)
        try:
            return self._tell(node, lambda: method(field, *arguments, **named))
        except TypeError as error:
            advice = "Look at the list of calls in the documentation"
            self._refuse(node, f"the arguments of {name}", "others", advice, error)

    def _argument(self, node: ast.expr) -> Any:
        value = self.literal(node)
        return self.condition(node) if value is _NOTHING else value

    def _field(self, node: ast.expr) -> Field | None:
        """The field that a path spells, or None when it is none."""
        match node:
            case ast.Name(name) if name not in _WORDS:
                return Field() if name == _ROOT else Field((self._exact(node, name),))
            case ast.Attribute(value, name):
                inner = self._field(value)
                if inner is None:
                    return None
                return Field((*inner.path_of_field(), self._exact(node, name)))
            case ast.Subscript(value, ast.Constant(str() | int() as part)):
                inner = self._field(value)
                return None if inner is None else self._tell(node, lambda: inner[part])
        return None

    def _exact(self, node: ast.expr, name: str) -> str:
        """A name as it was written: Python's parser normalises letters, documents do not."""
        assert node.end_lineno is not None
        written = self._lines[node.end_lineno - 1][: node.end_col_offset].decode()
        found = _NAME_AT_END.search(written)
        return found[0] if found else name

    def literal(self, node: ast.expr) -> Any:
        """The value that a literal spells, or `_NOTHING` when it is none."""
        match node:
            case ast.Constant(value) if not isinstance(value, complex) and value is not ...:
                return value
            case ast.Name(name) if name in _WORDS:
                return _WORDS[name]
            case ast.UnaryOp(
                ast.USub() | ast.UAdd() as sign, ast.Constant(int() | float() as value)
            ):
                if isinstance(value, bool):
                    return _NOTHING
                return -value if isinstance(sign, ast.USub) else value
            case ast.List(elements) | ast.Tuple(elements):
                values = [self.literal(one) for one in elements]
                return _NOTHING if any(one is _NOTHING for one in values) else values
            case ast.Dict(keys, values):
                return self._object(keys, values)
            case ast.Call(ast.Name("datetime"), [ast.Constant(str() as text)], []):
                return self._instant(node, text)
        return _NOTHING

    def _object(self, keys: list[ast.expr | None], values: list[ast.expr]) -> Any:
        found: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            name = _NOTHING if key is None else self.literal(key)
            read = self.literal(value)
            if not isinstance(name, str) or read is _NOTHING:
                return _NOTHING
            found[name] = read
        return found

    def _instant(self, node: ast.expr, text: str) -> datetime:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError as error:
            advice = 'Write datetime("2025-01-31T12:00:00Z")'
            self._refuse(node, "an instant in ISO 8601", "another text", advice, error)
        if instant.tzinfo is None:
            advice = "Add its offset from UTC, such as Z or +09:00"
            self._refuse(node, "an instant", "a time without a time zone", advice)
        return instant

    def _tell(self, node: ast.expr, make: Callable[[], T]) -> T:
        """What `make` makes; its error gets the place of the node."""
        try:
            return make()
        except InvalidQuery as error:
            position = self._position(node)
            raise InvalidQuery(
                f"{error.message} (at character {position})",
                **(error.details | {"position": position}),
            ) from error

    def _position(self, node: ast.expr) -> int:
        """The character of the text where a node begins."""
        before = self._lines[: node.lineno - 1]
        line = self._lines[node.lineno - 1][: node.col_offset]
        return max(sum(len(one.decode()) + 1 for one in before) + len(line.decode()) - 1, 0)

    def _refuse(
        self,
        node: ast.expr,
        wanted: str,
        found: str,
        advice: str,
        cause: BaseException | None = None,
    ) -> NoReturn:
        _refuse(self._position(node), wanted, found, advice, cause)


def _refuse(
    position: int, wanted: str, found: str, advice: str, cause: BaseException | None = None
) -> NoReturn:
    raise InvalidQuery(
        f"the expression wanted {wanted} at character {position}; found {found}. {advice}",
        position=position,
    ) from cause


def _close(position: int, wanted: str, found: str, known: tuple[str, ...]) -> NoReturn:
    from difflib import get_close_matches

    close = get_close_matches(found, known, 1)
    advice = f"Did you mean {close[0]!r}?" if close else "Use one of them"
    _refuse(position, wanted, repr(found[:80]), advice)


def _described(node: ast.expr) -> str:
    match node:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return "a path"
        case ast.Call():
            return "a call"
        case ast.BinOp():
            return "arithmetic"
        case ast.Constant() | ast.List() | ast.Tuple() | ast.Dict():
            return "a value"
    return f"Python's {type(node).__name__}"


def _hint(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return "Put quotes around a text; two fields cannot be compared"
    return "Write a number, a text in quotes, true, false, null, a list or datetime(...)"
