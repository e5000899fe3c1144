"""What is encoded by one look has the bytes, and the refusals, of what is looked at closely."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.serializers import MESSAGE_PACK, SMALL_LENGTH
from holdfast.contract.errors import SerializationFailed

PARTS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.sampled_from(["\ud800", (1,), {1}, datetime(2024, 1, 1, tzinfo=UTC)])
)
FLAT = st.lists(PARTS, max_size=3) | st.dictionaries(
    st.text(max_size=2) | st.sampled_from([1, None, "\ud800"]), PARTS, max_size=3
)
VALUES = (
    st.dictionaries(st.text(max_size=2), PARTS | FLAT | st.lists(FLAT, max_size=2), max_size=4)
    | PARTS
    | FLAT
)


def outcome(encode: Callable[[Any], bytes | None], value: Any) -> bytes | str | None:
    """The bytes, or how they are refused."""
    try:
        return encode(value)
    except SerializationFailed as error:
        return f"{error} {error.details}"


@given(VALUES)
def test_one_look_gives_what_a_close_one_gives(value: Any) -> None:
    small = outcome(MESSAGE_PACK.encode_small, value)
    assert small is None or small == outcome(MESSAGE_PACK.encode, value)


@pytest.mark.parametrize(
    "value",
    [
        {"at": {"lat": 48.2, "lon": 16.4}, "names": ["a", None], "n": 1},
        {"a": {}, "b": [], "c": {"d": b"\x7f\xff"}},
    ],
)
def test_a_document_with_flat_parts_is_taken_by_one_look(value: Any) -> None:
    assert MESSAGE_PACK.encode_small(value) == MESSAGE_PACK.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": {}}},
        {"a": dict.fromkeys(map(str, range(SMALL_LENGTH + 1)))},
        {"a": [0] * (SMALL_LENGTH + 1)},
        {"a": "x" * (SMALL_LENGTH + 1)},
    ],
)
def test_what_is_deep_or_long_is_left_to_a_close_one(value: Any) -> None:
    assert MESSAGE_PACK.encode_small(value) is None
