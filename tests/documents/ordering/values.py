"""Values of documents, and the order that the documentation promises, without any encoding."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from holdfast.documents.query.values import MISSING

TEXTS = st.text(alphabet=st.sampled_from("ab\0\x01zÿéЖ中￿\U0001f600"), max_size=6)
LONG_TEXTS = st.builds(
    lambda head, times, tail: head * times + tail,
    st.sampled_from(["a", "a\0", "é", "中"]),
    st.integers(5, 60),
    TEXTS,
)
EDGES = st.builds(
    lambda bits, offset, sign: sign * ((1 << bits) + offset),
    st.sampled_from([0, 1, 7, 8, 31, 52, 53, 62, 63, 64, 80, 900]),
    st.integers(-2, 2),
    st.sampled_from([1, -1]),
)
NUMBERS = (
    st.integers(-3, 3)
    | EDGES
    | st.floats(allow_nan=False)
    | st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0**53, 1e300, 5e-324, math.inf, -math.inf])
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATETIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001
BYTES = st.lists(st.sampled_from([0, 1, 0x61, 0xFE, 0xFF]), max_size=5).map(bytes)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | LONG_TEXTS | BYTES | DATETIMES
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KINDS = ("null", "number", "str", "object", "array", "bytes", "bool", "datetime")


def kind(value: Any) -> str:
    """The name of the type bracket of a value."""
    if value is None or value is MISSING:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list):
        return "array"
    return type(value).__name__


def rank(value: Any) -> tuple[Any, ...]:
    """Compares as the documentation says that values are ordered."""
    name = kind(value)
    place = KINDS.index(name)
    if name == "null":
        return (place,)
    if name == "array":
        return (place, tuple(rank(part) for part in value))
    if name == "object":
        return (place, tuple((key, rank(value[key])) for key in sorted(value)))
    if name == "datetime":
        return (place, value.astimezone(UTC))
    return (place, value)
