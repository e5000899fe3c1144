"""Filters on items and on namespaces of a LangGraph store, as its documents define them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.contract.errors import InvalidQuery

_OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


def meets(value: Mapping[str, Any], filter: Mapping[str, Any] | None) -> bool:
    """Whether an item has the values that a filter asks for. Raises InvalidQuery."""
    return all(_meets(value.get(name), wanted) for name, wanted in (filter or {}).items())


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_compares(value, name, operand) for name, operand in wanted.items())
        return isinstance(value, Mapping) and meets(value, wanted)
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(map(_meets, value, wanted))
        )
    return bool(value == wanted)


def _compares(value: Any, operator: str, operand: Any) -> bool:
    """Whether a value stands to the operand so. What cannot be compared does not."""
    if operator not in _OPERATORS:
        raise InvalidQuery(
            f"an operator of a filter is one of {', '.join(_OPERATORS)}; found {operator!r}"
        )
    if operator == "$eq":
        return _meets(value, operand)
    if operator == "$ne":
        return not _meets(value, operand)
    left, right = _comparable(value), _comparable(operand)
    if left is None or right is None or type(left) is not type(right):
        return False
    less, equal = left < right, left == right
    return bool(
        {
            "$gt": not less and not equal,
            "$gte": not less,
            "$lt": less,
            "$lte": less or equal,
        }[operator]
    )


def _comparable(value: Any) -> Any:
    """A number as a number, also one that is written as text; other text as text; None: neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return value if isinstance(value, str) else None
    return None if number != number else number  # noqa: PLR0124 - NaN compares with nothing


def matches(namespace: Sequence[str], kind: str, path: Sequence[str]) -> bool:
    """Whether a namespace begins, or ends, with a path in which * is any label."""
    if kind not in ("prefix", "suffix"):
        raise InvalidQuery(f"a namespace is matched by prefix or suffix; found {kind!r}")
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if kind == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
