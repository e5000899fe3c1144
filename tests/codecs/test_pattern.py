"""Patterns: wildcards over segments or over the whole text, one by one and many at once."""

import gc
import pickle
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.pattern import PATTERN_CHARACTERS_MAX, Pattern
from holdfast.codecs.text import StoreKey
from holdfast.codecs.trie import PatternTrie
from holdfast.contract.errors import PatternInvalid

MQTT: list[tuple[str, list[str], list[str]]] = [
    ("users/#", ["users", "users:a", "users:1", "users/a:1", "users/a/b:1"],
     ["user", "users2", "users2:1", "other/users:1", ":users/a"]),
    ("users:#", ["users", "users:1", "users/a:1"], ["user:1"]),
    ("users/+/settings", ["users/7:settings"],
     ["users/7/8:settings", "users:settings", "users/7/settings:x", "users/7:setting"]),
    ("users/+:settings", ["users/7:settings"], ["users/7/8:settings"]),
    ("users/active:123", ["users/active:123"],
     ["users/active:1234", "users:123", "users/active/123:x"]),
    ("users/active/123", ["users/active:123"], ["users/active:1234"]),
    ("users:+", ["users:1", "users:a/b"], ["users", "users/a:1"]),
    ("+", ["users", ":a/b"], ["users:1"]),
    ("+/+", ["users:1", "a:b:c"], ["users", "a/b:c"]),
    ("+/#", ["users", "users:1", "users/a:1"], []),
    ("#", ["users", "users:1", "a/b/c:d", ":a/b"], []),
    (":#", ["users", "users:1"], []),
    (":+", ["users", ":a/b"], ["users:1"]),
    ("users", ["users"], ["users:1", "user"]),
    # Inside a segment a wildcard is data; as a whole segment it is escaped.
    ("a+b:1", ["a+b:1"], ["axb:1", "a:1", "aab:1"]),
    ("a#/b", ["a#:b"], ["a:b", "ax:b"]),
    ("a/#b", ["a:#b"], ["a:b", "a:xb"]),
    ("%2B/x", ["+:x"], ["a:x", "%252B:x"]),
    ("a:%2B", ["a:+"], ["a:x", "a:%2B"]),
    ("a:%23", ["a:#"], ["a", "a:x"]),
    ("a:%252B", ["a:%2B"], ["a:+", "a:%252B"]),
    ("%2B", ["+"], ["a"]),
    # A name is literal otherwise, a namespace is escaped as in keys.
    ("100%", ["100%"], ["100"]),
    ("a:%41", ["a:%41"], ["a:A"]),
    ("a:b:c", ["a:b:c"], ["a/b:c"]),
    ("a:b/c", ["a:b/c"], ["a/b:c"]),
    ("a%2Fb/+", ["a%2Fb:x"], ["a/b:x"]),
    ("a/b%2Fc", ["a:b/c"], ["a/b:c"]),
    (":a/b", [":a/b"], ["a:b"]),
    # Nothing of a regular expression or a glob has a meaning.
    ("a.b", ["a.b"], ["axb"]),
    ("a*:[x](y)$", ["a*:[x](y)$"], ["aa:x"]),
]  # fmt: skip


@pytest.mark.row("K-071", "K-072", "trap 17", "trap 18", "I-069")
@pytest.mark.parametrize(("text", "hits", "misses"), MQTT)
def test_mqtt(text: str, hits: list[str], misses: list[str]) -> None:
    pattern = Pattern.mqtt(text)
    trie: PatternTrie[str] = PatternTrie()
    trie.add(pattern, text)
    for key in map(StoreKey.parse, hits):
        assert pattern.matches(key), key
        assert pattern.matches_segments(key.segments)
        assert pattern.matches_text(key.text)
        assert trie.matches(key.segments) == [text]
        assert key.segments[: len(pattern.prefix)] == pattern.prefix
    for key in map(StoreKey.parse, misses):
        assert not pattern.matches(key), key
        assert not pattern.matches_text(key.text)
        assert trie.matches(key.segments) == []


@pytest.mark.parametrize(
    ("text", "prefix", "exact"),
    [
        ("#", (), None),
        ("+/a", (), None),
        ("users/#", ("users",), None),
        ("users/+/settings", ("users",), None),
        ("a/b:+", ("a", "b"), None),
        ("a/b:c", ("a", "b", "c"), "a/b:c"),
        ("a/b/c", ("a", "b", "c"), "a/b:c"),
        (":a/b", ("a/b",), ":a/b"),
        ("a:%2B", ("a", "+"), "a:+"),
    ],
)
def test_prefix_and_exact(text: str, prefix: tuple[str, ...], exact: str | None) -> None:
    pattern = Pattern.mqtt(text)
    assert pattern.prefix == prefix
    assert pattern.exact == exact


MQTT_INVALID = [
    "", "#/a", "a/#/b", "#:a", "a/#:b", "a//b", "/a", "a/", "a:", ":", "/", "a%/b", "a%2f:b",
    "\ud800", "a/\udfff/#",
]  # fmt: skip


@pytest.mark.parametrize("text", MQTT_INVALID, ids=ascii)
def test_malformed_mqtt_is_refused(text: str) -> None:
    with pytest.raises(PatternInvalid):
        Pattern.mqtt(text)


def test_a_hash_in_the_middle_says_so() -> None:
    with pytest.raises(PatternInvalid, match=r"'#' as the last segment.*%23"):
        Pattern.mqtt("a/#/b")


GLOB: list[tuple[str, list[str], list[str]]] = [
    ("*", ["a", "a:b", "a/b:c\n"], []),
    ("users/*", ["users/a:1", "users/a/b:1"], ["users", "users:1", "xusers/a:1"]),
    ("users*:1", ["users:1", "users/a:1", "users2:1"], ["users:12"]),
    ("user?:1", ["users:1", "user/:1"[:4] + "x:1"], ["user:1", "userss:1"]),
    ("a.b", ["a.b"], ["axb"]),
    ("a+(b)$^|{1}", ["a+(b)$^|{1}"], ["aab", "a"]),
    ("[abc]:1", ["a:1", "c:1"], ["d:1", "ab:1"]),
    ("[!abc]:1", ["d:1"], ["a:1"]),
    ("[a-c0-9]:1", ["b:1", "7:1"], ["d:1", "-:1"]),
    ("[]a]:1", ["]:1", "a:1"], ["b:1"]),
    ("[!]a]:1", ["b:1"], ["]:1", "a:1"]),
    ("[a-]:1", ["a:1", "-:1"], ["b:1"]),
    (r"[a\-c]:1", ["a:1", "-:1", "c:1"], ["b:1"]),
    (r"[\]\\]:1", ["]:1", "\\:1"], ["a:1"]),
    ("[^a]:1", ["^:1", "a:1"], ["b:1"]),
    ("[&&~~||[]:1", ["&:1", "~:1", "|:1", "[:1"], ["a:1"]),
    (r"a\*b", ["a*b"], ["axb"]),
    (r"a\[b", ["a[b"], ["ab"]),
    ("a*b*c", ["abc", "axxbxxc", "abcbc", "abcabc"], ["ab", "acb", "abcx"]),
    ("*a*a*", ["aa", "xaxax"], ["a", "xa"]),
    ("**", ["a"], []),
    ("a%2Fb:*", ["a%2Fb:x"], ["a/b:x"]),
]


@pytest.mark.row("trap 17", "I-069")
@pytest.mark.parametrize(("text", "hits", "misses"), GLOB)
def test_glob(text: str, hits: list[str], misses: list[str]) -> None:
    pattern = Pattern.glob(text)
    for key in map(StoreKey.parse, hits):
        assert pattern.matches(key), key
        assert pattern.matches_segments(key.segments)
        assert key.segments[: len(pattern.prefix)] == pattern.prefix
    for key in map(StoreKey.parse, misses):
        assert not pattern.matches(key), key


def glob_model(pattern: str, text: str) -> bool:
    """`*` and `?` by definition."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob_model(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and glob_model(pattern[1:], text[1:])


@given(st.text("ab*?", min_size=1, max_size=7), st.text("ab", min_size=1, max_size=8))
def test_glob_agrees_with_its_definition(pattern: str, text: str) -> None:
    assert Pattern.glob(pattern).matches_text(text) == glob_model(pattern, text)


@pytest.mark.parametrize("text", ["[", "a[b", "[]", "[!]", "[z-a]", "\\", "a[\\]", "\ud800", ""])
def test_malformed_glob_is_refused(text: str) -> None:
    with pytest.raises(PatternInvalid):
        Pattern.glob(text)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("users/active:1*", ("users", "active")),
        ("users/act*", ("users",)),
        ("users*", ()),
        ("a%2Fb/c*", ("a/b",)),
        (":a/b*", ()),
        ("a%zz/b*", ()),
        ("a//b*", ()),
        (r"a\*/b?", ("a*",)),
    ],
)
def test_glob_prefix(text: str, prefix: tuple[str, ...]) -> None:
    assert Pattern.glob(text).prefix == prefix


def test_a_glob_does_not_explode() -> None:
    # Tried every way, thirty stars over this text would outlast the time limit of any test.
    pattern = Pattern.glob("a*" * 30 + "b")
    assert not pattern.matches_text("a" * 5_000)
    assert pattern.matches_text("a" * 5_000 + "b")


@pytest.mark.row("trap 17")
def test_regex_matches_the_whole_text() -> None:
    pattern = Pattern.regex(r"users/\w+:\d+")
    assert pattern.matches(StoreKey.parse("users/active:123"))
    assert pattern.matches_segments(("users", "active", "123"))
    assert not pattern.matches(StoreKey.parse("users/active:123x"))
    assert not pattern.matches(StoreKey.parse("xusers/active:123"))
    assert (pattern.prefix, pattern.exact, pattern.levels) == ((), None, None)
    for bad in ("(", "a{99999999999}", "", "[z-a]", "*"):
        with pytest.raises(PatternInvalid):
            Pattern.regex(bad)


def test_patterns_are_bounded_and_typed() -> None:
    longest = "a" * PATTERN_CHARACTERS_MAX
    for make in (Pattern.mqtt, Pattern.glob, Pattern.regex):
        assert make(longest).matches_text(longest)
        with pytest.raises(PatternInvalid, match=str(PATTERN_CHARACTERS_MAX)):
            make(longest + "a")
    for bad in (None, 1, b"a", re.compile("a")):
        with pytest.raises(PatternInvalid):
            Pattern.of(bad)  # type: ignore[arg-type]
    with pytest.raises(PatternInvalid, match="kind"):
        Pattern("a", "sql")  # type: ignore[arg-type]


def test_a_pattern_is_a_value() -> None:
    pattern = Pattern.of("users/#")
    assert Pattern.of(pattern) is pattern
    assert pattern == Pattern.mqtt("users/#") != Pattern.glob("users/#")
    assert pattern != "users/#"
    assert len({pattern, Pattern.mqtt("users/#"), Pattern.regex("users/#")}) == 2
    again = pickle.loads(pickle.dumps(pattern))
    assert again == pattern
    assert again.matches(StoreKey("users"))
    assert repr(pattern) == "Pattern.mqtt('users/#')"
    with pytest.raises(AttributeError):
        pattern.text = "#"


WILDCARDS = st.sampled_from(["+", "#", "%2B", "%23", "%252B", "%2523"])
SEGMENTS = st.lists(
    WILDCARDS | st.text("+#%2B35:/a", min_size=1, max_size=6), min_size=1, max_size=4
).map(tuple)


@given(SEGMENTS, SEGMENTS)
def test_a_key_as_a_pattern_matches_that_key_only(
    segments: tuple[str, ...], others: tuple[str, ...]
) -> None:
    key, other = StoreKey.of_segments(segments), StoreKey.of_segments(others)
    pattern = Pattern.of(key)
    assert pattern.exact == key
    assert pattern.matches(key)
    assert pattern.matches(other) == (key == other)
    assert Pattern.mqtt(pattern.text).exact == key


LEVELS = st.sampled_from(["a", "b", "+"])
PATTERNS = st.builds(
    lambda levels, end: "/".join([*levels, *end]) or "#",
    st.lists(LEVELS, max_size=3),
    st.sampled_from([[], ["#"]]),
)


@given(
    st.lists(PATTERNS, max_size=12),
    st.lists(st.integers(0, 11), max_size=6),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(tuple),
)
def test_a_trie_finds_what_each_pattern_finds(
    texts: list[str], removed: list[int], segments: tuple[str, ...]
) -> None:
    trie: PatternTrie[str] = PatternTrie()
    living: dict[int, Pattern] = {}
    for text in [*texts, "*a*"]:
        pattern = Pattern.glob(text) if text == "*a*" else Pattern.mqtt(text)
        living[trie.add(pattern, text)] = pattern
    for index in removed:
        token = index + 1
        assert trie.remove(token) == (living.pop(token, None) is not None)
    expected = [each.text for each in living.values() if each.matches_segments(segments)]
    assert trie.matches(segments) == expected
    assert len(trie) == len(living)
    for token in living:
        assert trie.remove(token)
    assert trie.matches(segments) == []
    assert trie._root.is_empty()
    assert not trie._text_items


def lines_run(trie: PatternTrie[int], segments: tuple[str, ...]) -> int:
    """How many lines of Python one look-up executes: its cost, without a clock."""
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    # A collection in between would run, and count, what others hung on `gc.callbacks`.
    gc.disable()
    sys.settrace(trace)
    try:
        trie.matches(segments)
    finally:
        sys.settrace(before)
        gc.enable()
    return lines


def test_the_cost_of_a_trie_grows_with_the_matches_only() -> None:
    key = ("users", "5", "settings")
    few: PatternTrie[int] = PatternTrie()
    many: PatternTrie[int] = PatternTrie()
    for trie in (few, many):
        for number, text in enumerate(["users/#", "users/+/settings", "users/5:settings"]):
            trie.add(Pattern.mqtt(text), number)
    for number in range(100_000):
        many.add(Pattern.mqtt(f"users/x{number}/+:settings"), number)
    assert many.matches(key) == few.matches(key) == [0, 1, 2]
    assert lines_run(many, key) == lines_run(few, key)
