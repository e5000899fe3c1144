"""Documents with every type that there is, and strategies that make more."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies

START = datetime(2025, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)

DOCUMENTS: dict[str, dict[str, Any]] = {
    f"k{number:02}": {
        "number": number - 5,
        "big": 2**63 + number,
        "half": number / 2 if number % 2 else number,
        "text": f'ä,"{number}"\n😀',
        "zip": f"{number:04}",
        "bytes": bytes([number, 0, 255]),
        "at": START + timedelta(microseconds=number),
        "yes": number % 2 == 0,
        "nothing": None,
        "maybe": None if number % 3 else number,
        "list": [{"a": 1, "b": None}, {"a": 2, "b": "x"}][: number % 3],
        "empty": [],
        "inside": {"deep": {"x": [[number], []]}},
        **({"only_some": number} if number % 2 else {}),
    }
    for number in range(20)
}


def _instant(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=1)


scalars = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**63), 2**64 - 1)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(max_size=5)
    | strategies.binary(max_size=5)
    | strategies.integers(-62_000_000_000, 253_000_000_000).map(_instant)
)
names = strategies.sampled_from(["a", "b", "c"])
values = strategies.recursive(
    scalars,
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
)
documents = strategies.lists(strategies.dictionaries(names, values, max_size=3), max_size=5)


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal, an int and a float of equal value among them."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)
