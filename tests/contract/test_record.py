"""Ranges, prefixes and cursors, against what they mean for a sorted list of keys."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.contract.batch import append_key, append_position
from holdfast.contract.errors import InvalidInput
from holdfast.contract.record import Cursor, Range, after_prefix

KEYS = st.binary(max_size=4) | st.lists(st.sampled_from([0, 1, 0xFE, 0xFF]), max_size=4).map(bytes)
RANGES = st.builds(Range, st.none() | KEYS, st.none() | KEYS, st.booleans())


def inside(range: Range, key: bytes) -> bool:
    after_start = range.start is None or range.start <= key
    return after_start and (range.end is None or key < range.end)


@pytest.mark.row("E-019")
@given(RANGES, KEYS)
def test_a_range_is_half_open(range: Range, key: bytes) -> None:
    assert (key in range) == inside(range, key)


@pytest.mark.row("E-019")
@given(RANGES, KEYS)
@example(Range(b"a", b"a"), b"a")
@example(Range(None, b""), b"")
def test_an_empty_range_holds_no_key(range: Range, key: bytes) -> None:
    if range.empty:
        assert key not in range
    else:
        assert (range.start or b"") in range


@given(KEYS, KEYS)
@example(b"", b"\xff\xff")
@example(b"\xff", b"\xff\xff")
@example(b"a\xff", b"b")
def test_a_prefix_is_a_range(prefix: bytes, key: bytes) -> None:
    assert (key in Range.prefix(prefix)) == key.startswith(prefix)
    end = after_prefix(prefix)
    assert end is None or end > prefix
    reverse = Range.prefix(prefix, reverse=True, limit=3)
    assert (reverse.reverse, reverse.limit) == (True, 3)


@given(RANGES, st.sets(KEYS, min_size=1), st.data())
def test_what_is_left_after_a_key_is_what_the_walk_has_not_passed(
    range: Range, keys: set[bytes], data: st.DataObject
) -> None:
    walk = [key for key in sorted(keys, reverse=range.reverse) if key in range]
    if not walk:
        return
    passed = data.draw(st.integers(0, len(walk) - 1))
    left = range.after(walk[passed])
    assert [key for key in walk if key in left] == walk[passed + 1 :]
    assert (left.reverse, left.limit) == (range.reverse, range.limit)


def test_a_page_holds_at_least_one_row_and_at_most_what_the_engine_gives() -> None:
    assert Range().rows_wanted(100) == 100
    assert Range(limit=7).rows_wanted(100) == 7
    assert Range(limit=700).rows_wanted(100) == 100
    for limit in (0, -1):
        with pytest.raises(InvalidInput, match="at least one row"):
            Range(limit=limit).rows_wanted(100)


@given(st.binary(max_size=8), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_an_append_key_tells_its_position(prefix: bytes, revision: int, index: int) -> None:
    key = append_key(prefix, revision, index)
    assert key.startswith(prefix)
    assert append_position(key) == (revision, index)


@given(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)),
       st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)))  # fmt: skip
def test_append_keys_sort_in_commit_order(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (append_key(b"F", *one) < append_key(b"F", *other)) == (one < other)


@given(st.text("0123456789abcdef.-", min_size=1), st.integers(0, 2**64))
def test_a_cursor_is_its_text(lineage: str, revision: int) -> None:
    assert Cursor.parse(str(Cursor(lineage, revision))) == Cursor(lineage, revision)


@pytest.mark.parametrize(
    "text",
    ["", ".", "a", "a.", ".1", "a.-1", "a.1.", "a.x", "a.1x", "a. 1", "a.٣", "a." + "9" * 5000],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        Cursor.parse(text)
