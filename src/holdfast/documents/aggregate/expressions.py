"""What expressions mean: a value computed from a document, never an exception.

| function | gives |
|---|---|
| a path | the value there; through an array, the array of what its elements have there |
| `add subtract multiply divide remainder` | a number: exact for ints, `divide` a float |
| `concat` | the texts in a row |
| `if_null` | the first that is neither null nor missing |
| `size` | how many elements an array has |
| `year month day hour minute second weekday` | that part of an instant, in UTC; Monday is 1 |
| `cond` | one of two values |

Where an argument is null, missing, or of a type that the function does not take (a bool is no
number), where a divisor is 0 and where the result is beyond a float, the result is null.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.computed import (
    Call,
    Conditional,
    Expression,
    FieldValue,
    LiteralValue,
)
from holdfast.documents.query.paths import Path, index_of
from holdfast.documents.query.places import Distance, haversine
from holdfast.documents.query.texts import TextMatcher, all_words
from holdfast.documents.query.values import ARRAY, MISSING, OBJECT

#: From a document to a value, or MISSING.
Compute = Callable[[Any], Any]


def value_at(value: Any, parts: Path, at: int = 0) -> Any:
    """The one value of a path, or MISSING; through an array the array of what is found there."""
    for place in range(at, len(parts)):
        if isinstance(value, dict):
            value = value.get(parts[place], MISSING)
        elif isinstance(value, list):
            index = index_of(parts[place])
            if index is None:
                found = (value_at(one, parts, place) for one in value if isinstance(one, dict))
                return [one for one in found if one is not MISSING]
            value = value[index] if index < len(value) else MISSING
        else:
            return MISSING
    return value


def compile_expression(
    expression: Expression, *, text: TextMatcher = all_words, distance: Distance = haversine
) -> Compute:
    """A function that computes the expression from a document; MISSING where a path finds nothing.

    Raises:
        PatternInvalid: a regular expression in a condition cannot be compiled.
    """

    def build(one: Expression) -> Compute:
        match one:
            case FieldValue(path):
                return _path(path)
            case LiteralValue(constant):
                if constant.key[0] in _CONTAINERS:
                    return lambda _: constant.value
                value = constant.value
                return lambda _: value
            case Conditional(condition, then, otherwise):
                test = compile_where(condition, text=text, distance=distance)
                yes, no = build(then), build(otherwise)
                return lambda document: yes(document) if test(document) else no(document)
            case Call(function, arguments):
                return _FUNCTIONS[function](tuple(build(argument) for argument in arguments))
        raise AssertionError(f"no meaning for {type(one).__name__}")

    return build(expression)


_CONTAINERS = (OBJECT, ARRAY)


def _path(path: Path) -> Compute:
    if len(path) == 1:
        [name] = path

        def direct(document: Any) -> Any:
            if type(document) is dict:
                return document.get(name, MISSING)
            return value_at(document, path)

        return direct
    return lambda document: value_at(document, path)


def compile_many(expression: Expression, compute: Compute) -> Callable[[list[Any]], list[Any]]:
    """A function that computes an expression from many documents: quicker than one by one."""
    if isinstance(expression, FieldValue) and len(expression.path) == 1:
        [name] = expression.path

        def of_names(documents: list[Any]) -> list[Any]:
            try:
                return [document.get(name, MISSING) for document in documents]
            except AttributeError:  # One of them is no object.
                return list(map(compute, documents))

        return of_names
    return lambda documents: list(map(compute, documents))


def number(value: Any) -> bool:
    """Whether a value is a number; a bool is none."""
    kind = type(value)
    return kind is int or kind is float


def _arithmetic(calculate: Callable[[Any, Any], Any]) -> Callable[[tuple[Compute, ...]], Compute]:
    def build(arguments: tuple[Compute, ...]) -> Compute:
        first, *rest = arguments

        def compute(document: Any) -> Any:
            total = first(document)
            if not number(total):
                return None
            for argument in rest:
                value = argument(document)
                if not number(value):
                    return None
                try:
                    total = calculate(total, value)
                except (ZeroDivisionError, OverflowError):
                    return None
            return total if isinstance(total, int) or math.isfinite(total) else None

        return compute

    return build


def _concat(arguments: tuple[Compute, ...]) -> Compute:
    def compute(document: Any) -> Any:
        parts = [argument(document) for argument in arguments]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else None

    return compute


def _if_null(arguments: tuple[Compute, ...]) -> Compute:
    def compute(document: Any) -> Any:
        for argument in arguments:
            value = argument(document)
            if value is not None and value is not MISSING:
                return value
        return None

    return compute


def _one(kind: type[Any], take: Callable[[Any], Any]) -> Callable[[tuple[Compute, ...]], Compute]:
    def build(arguments: tuple[Compute, ...]) -> Compute:
        (argument,) = arguments

        def compute(document: Any) -> Any:
            value = argument(document)
            return take(value) if isinstance(value, kind) else None

        return compute

    return build


def _part(name: str) -> Callable[[tuple[Compute, ...]], Compute]:
    take = operator.attrgetter(name)
    return _one(datetime, lambda instant: take(instant.astimezone(UTC)))


_FUNCTIONS: dict[str, Callable[[tuple[Compute, ...]], Compute]] = {
    "add": _arithmetic(operator.add),
    "subtract": _arithmetic(operator.sub),
    "multiply": _arithmetic(operator.mul),
    "divide": _arithmetic(operator.truediv),
    "remainder": _arithmetic(operator.mod),
    "concat": _concat,
    "if_null": _if_null,
    "size": _one(list, len),
    **{name: _part(name) for name in ("year", "month", "day", "hour", "minute", "second")},
    "weekday": _one(datetime, lambda instant: instant.astimezone(UTC).isoweekday()),
}
