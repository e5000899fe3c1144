"""Keys of entries in rows: a row matches a pattern exactly if its key does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.keys import pack_text
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.store import text_keys
from holdfast.store.text_keys import matching_packed

#: What a segment may hold that looks like what stands between two of them.
SEGMENTS = st.lists(
    st.sampled_from(["a", "b", "a\0", "\0", " ", "a\0 b", "\xff", "__a", "é", "a/b:c"]),
    min_size=1,
    max_size=4,
).map(tuple)
LEVELS = ["+", "a", "b", "%00"]
PATTERNS = st.one_of(
    st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4)
    .flatmap(lambda levels: st.sampled_from([levels, [*levels, "#"]]))
    .map("/".join)
    .map(Pattern.mqtt),
    st.sampled_from([Pattern.mqtt("#"), Pattern.glob("a*"), Pattern.regex("a.*")]),
)


@given(PATTERNS, SEGMENTS)
def test_a_row_matches_if_its_key_does(pattern: Pattern, segments: tuple[str, ...]) -> None:
    if segments[: len(pattern.prefix)] != pattern.prefix:
        return  # No row of the pattern's range.
    packed = b"".join(map(pack_text, segments))
    assert matching_packed(pattern)(packed) == pattern.matches(StoreKey.of_segments(segments))


def test_most_rows_are_not_unpacked_to_be_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_keys, "unpack_key", None)  # A call would fail.
    packed = b"".join(map(pack_text, ("users", "1")))
    assert matching_packed(Pattern.mqtt("users:+"))(packed)
    assert matching_packed(Pattern.mqtt("users/+/#"))(packed)
    assert not matching_packed(Pattern.mqtt("users/+/+"))(packed)
    assert not matching_packed(Pattern.mqtt("+:name"))(packed + pack_text("name"))
