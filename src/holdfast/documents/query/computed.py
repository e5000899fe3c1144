"""Computed values: what `project`, `add_fields` and `group` make of a document's fields.

A tree of its own beside the conditions: paths, literals, calls of the functions in `FUNCTIONS` and
`cond`. `documents/aggregate` evaluates it and writes it as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query.nodes import Node
from holdfast.documents.query.paths import Path
from holdfast.documents.query.values import Constant

EXPRESSION_DEEP_MAX = 100
"""How deep expressions may stand inside each other."""


class Arguments(NamedTuple):
    """How many arguments a function takes."""

    least: int
    most: int | None = None


FUNCTIONS: dict[str, Arguments] = {
    "add": Arguments(2),
    "subtract": Arguments(2, 2),
    "multiply": Arguments(2),
    "divide": Arguments(2, 2),
    "remainder": Arguments(2, 2),
    "concat": Arguments(1),
    "if_null": Arguments(2),
    "size": Arguments(1, 1),
    "year": Arguments(1, 1),
    "month": Arguments(1, 1),
    "day": Arguments(1, 1),
    "hour": Arguments(1, 1),
    "minute": Arguments(1, 1),
    "second": Arguments(1, 1),
    "weekday": Arguments(1, 1),
}
"""The functions of expressions, by name, and how many arguments each takes."""


class Arithmetic:
    """`+ - * / %` of fields and expressions with each other and with literals."""

    __slots__ = ()

    def __add__(self, other: object) -> Expression:
        return call("add", self, other)

    def __radd__(self, other: object) -> Expression:
        return call("add", other, self)

    def __sub__(self, other: object) -> Expression:
        return call("subtract", self, other)

    def __rsub__(self, other: object) -> Expression:
        return call("subtract", other, self)

    def __mul__(self, other: object) -> Expression:
        return call("multiply", self, other)

    def __rmul__(self, other: object) -> Expression:
        return call("multiply", other, self)

    def __truediv__(self, other: object) -> Expression:
        return call("divide", self, other)

    def __rtruediv__(self, other: object) -> Expression:
        return call("divide", other, self)

    def __mod__(self, other: object) -> Expression:
        return call("remainder", self, other)

    def __rmod__(self, other: object) -> Expression:
        return call("remainder", other, self)


@dataclass(frozen=True, slots=True)
class Expression(Arithmetic):
    """A value computed from a document. Immutable and hashable."""

    deep: int = field(init=False, repr=False, compare=False, default=1)

    def _holds(self, *children: Expression | Node) -> None:
        deep = 1 + max((child.deep for child in children), default=0)
        if deep > EXPRESSION_DEEP_MAX:
            raise InvalidQuery(
                f"expressions stand at most {EXPRESSION_DEEP_MAX} deep inside each other; found "
                "more. Compute in two stages",
                limit=EXPRESSION_DEEP_MAX,
            )
        object.__setattr__(self, "deep", deep)


@dataclass(frozen=True, slots=True)
class FieldValue(Expression):
    """What stands at a path."""

    path: Path


@dataclass(frozen=True, slots=True)
class LiteralValue(Expression):
    """Always the same value."""

    value: Constant


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A function of `FUNCTIONS`, of some expressions."""

    function: str
    arguments: tuple[Expression, ...]

    def __post_init__(self) -> None:
        takes = FUNCTIONS[self.function]
        found = len(self.arguments)
        if found < takes.least or (takes.most is not None and found > takes.most):
            wanted = f"{takes.least}" if takes.most else f"{takes.least} or more"
            raise InvalidQuery(
                f"{self.function} wanted {wanted} arguments; found {found}. Correct the call",
                function=self.function,
            )
        self._holds(*self.arguments)


@dataclass(frozen=True, slots=True)
class Conditional(Expression):
    """`then` where the condition holds for the document, else `otherwise`."""

    condition: Node
    then: Expression
    otherwise: Expression

    def __post_init__(self) -> None:
        self._holds(self.condition, self.then, self.otherwise)


def expression_of(value: Any, where: str = "value") -> Expression:
    """An expression as it is, a field as its value, anything else as a literal."""
    if isinstance(value, Expression):
        return value
    path = getattr(type(value), "path_of_field", None)
    if path is not None:
        return FieldValue(path(value))
    if isinstance(value, Node):
        raise InvalidQuery(
            f"{where} wanted a value; found a condition. Write cond(condition, then, otherwise)",
            path=where,
        )
    return LiteralValue(Constant(value, where))


def call(function: str, *arguments: Any) -> Expression:
    """A call of a function of `FUNCTIONS`."""
    return Call(function, tuple(expression_of(one, function) for one in arguments))


def cond(condition: Node, then: Any, otherwise: Any) -> Expression:
    """`then` where the condition holds, else `otherwise`."""
    if not isinstance(condition, Node):
        raise InvalidQuery(
            f"cond wanted a condition first, such as F.age >= 18; found a "
            f"{type(condition).__name__}. Compare a field, not an expression"
        )
    return Conditional(condition, expression_of(then, "then"), expression_of(otherwise, "else"))


def concat(*parts: Any) -> Expression:
    """The texts in a row; null when one is no text."""
    return call("concat", *parts)


def if_null(value: Any, *instead: Any) -> Expression:
    """The first that is neither null nor missing; null when all are."""
    return call("if_null", value, *instead)


def size(value: Any) -> Expression:
    """How many elements an array has; null for what is no array."""
    return call("size", value)


def year(value: Any) -> Expression:
    """The year of an instant, in UTC; null for what is no instant."""
    return call("year", value)


def month(value: Any) -> Expression:
    """The month of an instant, 1 to 12, in UTC."""
    return call("month", value)


def day(value: Any) -> Expression:
    """The day of the month of an instant, in UTC."""
    return call("day", value)


def hour(value: Any) -> Expression:
    """The hour of an instant, in UTC."""
    return call("hour", value)


def minute(value: Any) -> Expression:
    """The minute of an instant."""
    return call("minute", value)


def second(value: Any) -> Expression:
    """The second of an instant, whole."""
    return call("second", value)


def weekday(value: Any) -> Expression:
    """The day of the week of an instant, Monday 1 to Sunday 7, in UTC."""
    return call("weekday", value)
