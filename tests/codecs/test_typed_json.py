"""Typed JSON: every value that can be stored is written and read back exactly."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs import typed_json
from holdfast.contract.errors import InvalidInput

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.just(UTC))
)
names = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["$bytes", "$datetime", "$$bytes", "$$$datetime", "$other", "$"]
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3)
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, datetime):
        return bool(one == other)
    return repr(one) == repr(other)  # also tells 0.0 from -0.0


@given(values)
def test_what_is_written_reads_back_exactly(value: Any) -> None:
    text = typed_json.dumps(value)
    assert "\n" not in text
    assert same(typed_json.loads(text), value), text


def test_the_spelling_is_as_documented() -> None:
    assert typed_json.dumps(b"hello") == '{"$bytes":"aGVsbG8="}'
    moment = datetime(2025, 1, 31, 12, tzinfo=UTC)
    assert typed_json.dumps(moment) == '{"$datetime":"2025-01-31T12:00:00+00:00"}'
    assert typed_json.dumps({"$bytes": 1}) == '{"$$bytes":1}'
    assert typed_json.dumps({"$bytes": 1, "more": 2}) == '{"$bytes":1,"more":2}'


@pytest.mark.parametrize(
    "text",
    [
        '{"$bytes": 1}',
        '{"$bytes": "not base64!"}',
        '{"$datetime": "yesterday"}',
        '{"$datetime": "2025-01-31T12:00:00"}',
        "{",
        "NaN",
        "[1,]",
        "1e999",
        '"\\ud800"',
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        typed_json.loads(text)


def test_integers_keep_all_their_digits() -> None:
    assert typed_json.loads("18446744073709551616") == 2**64
