"""Plain values as queries see them: brackets of types, one total order, one equality.

    null (and missing) < number < text < object < array < bytes < false < true < instant

Values of one bracket compare with each other, values of two brackets by the order above. Numbers
compare exactly, whatever their type (`2**60 + 1` is not `float(2**60)`); a bool is no number. Text
compares by code points, an instant as the instant that it is in any time zone. Objects are equal
when they hold equal values under the same names, in whatever order; they compare as their sorted
pairs do, arrays element by element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, final
from uuid import UUID

from holdfast.codecs.plain import NESTING_MAX
from holdfast.contract.errors import InvalidQuery, InvalidValue


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


#: What stands where a document has nothing at a path.
MISSING: Final = Missing.MISSING

Bracket = Literal["null", "number", "text", "object", "array", "bytes", "bool", "instant"]

#: What sorts and compares as the value does: a flat tuple, so that depth costs no stack.
OrderKey = tuple[Any, ...]

NULL, NUMBER, TEXT, OBJECT, ARRAY, BYTES, BOOL, INSTANT = range(8)
BRACKETS: tuple[Bracket, ...] = (
    "null", "number", "text", "object", "array", "bytes", "bool", "instant",
)  # fmt: skip
NULL_KEY: OrderKey = (NULL,)

# Ends an object or array inside a key: what is a prefix of another sorts before it.
KEY_END: Final = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Microseconds from 1970 UTC to an aware instant."""
    return (instant - _EPOCH) // _MICROSECOND


def order_key(value: object) -> OrderKey:
    """A tuple that is equal, and sorts, as the plain value does. `MISSING` counts as null.

    Made of ints, floats, str, bytes and bools alone, at any depth of the value.

    Raises:
        InvalidValue: something inside is no plain value.
    """
    kind = type(value)
    if kind is str:
        return (TEXT, value)
    if kind is int or kind is float:
        return (NUMBER, value)
    if value is None or value is MISSING:
        return NULL_KEY
    if kind is bool:
        return (BOOL, value)
    if kind is dict or kind is list:
        return tuple(_flat(value))
    return _key_of_another(value)


def _key_of_another(value: object) -> OrderKey:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (INSTANT, microseconds(value))
    if isinstance(value, bytes):
        return (BYTES, value)
    raise InvalidValue(
        "a document holds None, bool, int, float, str, bytes, aware datetimes, lists and dicts; "
        f"found a {type(value).__name__}",
        type=type(value).__name__,
    )


def _flat(value: Any) -> Iterator[Any]:
    """The tokens of a container's key. Keeps its own stack: a document may be deep."""
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        for part in stack[-1]:
            kind = type(part)
            if kind is dict:
                yield OBJECT
                stack.append(_pairs(part))
                break
            if kind is list:
                yield ARRAY
                stack.append(iter(part))
                break
            if kind is _Name:
                yield from (TEXT, part.text)
            else:
                yield from order_key(part)
        else:
            stack.pop()
            if stack:
                yield KEY_END


class _Name:
    """A name of an object inside a key, told apart from a value."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _pairs(mapping: dict[str, Any]) -> Iterator[Any]:
    for name in sorted(mapping):
        yield _Name(name)
        yield mapping[name]


@final
class Constant:
    """A literal of a query: a plain value that cannot change, equal and hashed as values are.

    `Constant(1) == Constant(1.0)`, `Constant(1) != Constant(True)`.
    """

    __slots__ = ("_value", "key")

    key: OrderKey
    _value: Any

    def __init__(self, value: Any, path: str = "value") -> None:
        """Check and copy a value. `path` is where it stands, for the error.

        Raises:
            InvalidQuery: it is no plain value, is NaN or infinite, or nests deeper than 200.
        """
        kind = type(value)
        plain = value if kind is str or kind is int else plain_value(value, path, 0)
        if kind is str:
            _check_text(value, path)
        object.__setattr__(self, "_value", plain)
        object.__setattr__(self, "key", order_key(plain))

    @property
    def value(self) -> Any:
        """The value; a container is a copy of your own."""
        return deepcopy(self._value) if self.key[0] in (OBJECT, ARRAY) else self._value

    @property
    def bracket(self) -> Bracket:
        """The bracket that the value belongs to."""
        return BRACKETS[self.key[0]]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Constant is immutable; make a new one instead of {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Constant) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Constant({self._value!r})"

    def __reduce__(self) -> tuple[type[Constant], tuple[Any]]:
        return Constant, (self._value,)


_INSTEAD = {
    "Decimal": "an int of the smallest unit, or float(value)",
    "date": "an aware datetime, or value.isoformat()",
    "time": "value.isoformat()",
    "Pattern": "F.name.regex(text) with its text",
    "range": "F.x >= start and F.x < stop, or a list",
}


def plain_value(  # noqa: C901, PLR0912 - one case for each type
    value: Any, path: str, depth: int
) -> Any:
    """A copy of a literal in plain types: a list for a tuple, its value for an Enum.

    Raises:
        InvalidQuery: documents can hold nothing like it.
    """
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if isinstance(value, str):
        _check_text(value, path)
        return str.__str__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidQuery(
                f"{path} wanted a finite number; found one that is NaN or infinite, which no "
                "document holds. Compare with None to find what has no number",
                path=path,
            )
        return float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise InvalidQuery(
                f"{path} wanted an instant; found a datetime without a time zone. "
                "Attach one, such as datetime.UTC",
                path=path,
            )
        return value.astimezone(UTC)
    if isinstance(value, bytes):
        return bytes(value)
    # As documents of a type hold them.
    if isinstance(value, Enum) and value is not MISSING:
        return plain_value(value.value, path, depth)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (list, tuple, dict)):
        if depth == NESTING_MAX:
            raise InvalidQuery(
                f"{path[:200]}... wanted a value at most {NESTING_MAX} levels deep, as documents "
                "are; found a deeper one. Compare a part of it",
                path=path[:200],
            )
        if not isinstance(value, dict):
            return [plain_value(part, f"{path}[{at}]", depth + 1) for at, part in enumerate(value)]
        for name in value:
            if not isinstance(name, str):
                raise InvalidQuery(
                    f"{path} wanted an object with str names; found one of type "
                    f"{type(name).__name__}. Use str names",
                    path=path,
                )
            _check_text(name, path)
        return {
            str.__str__(name): plain_value(part, f"{path}.{name[:40]}", depth + 1)
            for name, part in value.items()
        }
    name = "date" if isinstance(value, date) else kind.__name__
    raise InvalidQuery(
        f"{path} wanted a value that documents can hold; found a {kind.__name__}. "
        f"Use {_INSTEAD.get(name, 'plain data made from it')}",
        path=path,
        type=kind.__name__,
    )


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidQuery(
            f"{path} wanted Unicode text; character {error.start} is a lone surrogate, which no "
            "document holds. Decode its source with the right codec",
            path=path,
        ) from error
