"""Store keys and their text forms: injective, exact inverses, refused when ambiguous."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.text import KeyFormat, StoreKey, escape, format_path, unescape
from holdfast.contract.errors import InvalidKey

HOSTILE = st.text(alphabet=st.sampled_from("/:.%*+#\0aB2F5\u00e9e\u0301\U0001f600"), min_size=1)
SEGMENTS = st.lists(
    HOSTILE | st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5
).map(tuple)


@pytest.mark.row("K-006")
def test_a_key_is_immutable_and_hashable() -> None:
    key = StoreKey("123", ("users", "active"))
    assert (key.name, key.namespace) == ("123", ("users", "active"))
    assert key.segments == ("users", "active", "123")
    assert key == StoreKey("123", ["users", "active"])
    assert key != StoreKey("123", ("users",))
    for attribute in ("name", "namespace", "segments", "text", "other"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(key, attribute, "x")
    with pytest.raises(AttributeError):
        del key.name
    for same in (pickle.loads(pickle.dumps(key)), copy.copy(key), copy.deepcopy(key)):
        assert type(same) is StoreKey
        assert same.segments == key.segments


@pytest.mark.row("K-007")
def test_absent_and_empty_namespace_are_the_root() -> None:
    keys = [StoreKey("a"), StoreKey("a", ()), StoreKey("a", None), StoreKey.parse("a")]
    assert len(set(keys)) == 1
    assert {str(key) for key in keys} == {"a"}
    assert {key.namespace for key in keys} == {()}


def test_a_key_and_its_text_are_one_key_of_a_dict() -> None:
    key = StoreKey("b:c", ("a/d",))
    by_key: dict[str, int] = {key: 1}
    assert by_key[str(key)] == 1
    assert {str(key): 1}[key] == 1
    assert key == "a%2Fd:b:c"
    assert type(str(key)) is str
    assert f"{key}" == key.text
    assert StoreKey.of(key) is key
    assert StoreKey.of("a%2Fd:b:c") == key
    assert eval(repr(key), {"StoreKey": StoreKey}) == key


@pytest.mark.row("K-039")
def test_the_canonical_text() -> None:
    assert str(StoreKey("123", ("users", "active"))) == "users/active:123"
    assert StoreKey.parse("users/active:123").segments == ("users", "active", "123")


TABLE: list[tuple[str, tuple[str, ...]]] = [
    ("settings", ("settings",)),
    ("100%", ("100%",)),
    ("a.b", ("a.b",)),
    ("users:1", ("users", "1")),
    ("a:b:c", ("a", "b:c")),
    ("a:/", ("a", "/")),
    ("a:%2F", ("a", "%2F")),
    ("a%2Fb:c", ("a/b", "c")),
    ("a%3Ab:c", ("a:b", "c")),
    ("a%25:c", ("a%", "c")),
    ("a%252F:c", ("a%2F", "c")),
    (":a:b", ("a:b",)),
    (":a/b", ("a/b",)),
    ("::", (":",)),
    (":/", ("/",)),
    ("a: ", ("a", " ")),
    ("\0:\0", ("\0", "\0")),
    ("+:#", ("+", "#")),
]


@pytest.mark.row("K-039", "K-040")
@pytest.mark.parametrize(("text", "segments"), TABLE)
def test_text_and_segments(text: str, segments: tuple[str, ...]) -> None:
    assert StoreKey.parse(text).segments == segments
    assert str(StoreKey.of_segments(segments)) == text
    assert format_path(segments) == text


@pytest.mark.parametrize(
    ("text", "canonical"), [(":a", "a"), ("a%2Bb:c", "a+b:c"), ("a%41:c", "aA:c"), (":%", "%")]
)
def test_other_spellings_become_canonical(text: str, canonical: str) -> None:
    assert str(StoreKey.parse(text)) == canonical


@pytest.mark.row("K-040", "trap 19")
@given(SEGMENTS)
def test_parsing_is_the_inverse(segments: tuple[str, ...]) -> None:
    key = StoreKey.of_segments(segments)
    again = StoreKey.parse(str(key))
    assert again.segments == segments
    assert (str(again), again.name, again.namespace) == (str(key), key.name, key.namespace)
    for form in KeyFormat:
        assert form.parse(form.format(segments)) == segments
    for segment in segments:
        assert unescape(escape(segment)) == segment


@given(st.text(alphabet="/:%2F5a\ud800é", max_size=8))
def test_text_is_parsed_to_a_key_that_spells_it_or_refused(text: str) -> None:
    try:
        key = StoreKey.parse(text)
    except InvalidKey:
        return
    assert StoreKey.parse(str(key)) == key
    assert StoreKey.of_segments(key.segments) == key


@pytest.mark.row("K-041", "trap 19")
@given(SEGMENTS, SEGMENTS)
def test_two_keys_never_share_a_text(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    for form in KeyFormat:
        assert (form.format(one) == form.format(other)) == (one == other)


@pytest.mark.row("K-041", "trap 19")
def test_the_collisions_of_a_plain_join() -> None:
    for one, other in [
        (("a", "b:c"), ("a:b", "c")),
        (("a/b", "c"), ("a", "b", "c")),
        (("a/b",), ("a", "b")),
        (("a:b",), ("a", "b")),
        (("a.b", "c"), ("a", "b", "c")),
        (("a%2Fb", "c"), ("a/b", "c")),
    ]:
        for form in KeyFormat:
            assert form.format(one) != form.format(other)
        assert StoreKey.of_segments(one) != StoreKey.of_segments(other)


@pytest.mark.parametrize(
    ("form", "segments", "text"),
    [
        (KeyFormat.path, ("users", "active", "123"), "users/active:123"),
        (KeyFormat.colon, ("users", "active", "123"), "users:active:123"),
        (KeyFormat.dotted, ("users", "active", "123"), "users.active.123"),
        (KeyFormat.colon, ("a:b%", "c.d"), "a%3Ab%25:c.d"),
        (KeyFormat.dotted, ("a:b%", "c.d"), "a:b%25.c%2Ed"),
    ],
)
def test_the_formats(form: KeyFormat, segments: tuple[str, ...], text: str) -> None:
    assert form.format(segments) == text
    assert form.parse(text) == segments
    assert KeyFormat["dotted"] is KeyFormat.dotted


def test_a_slash_without_a_colon_shows_both_spellings() -> None:
    with pytest.raises(InvalidKey) as caught:
        StoreKey.parse("users/active/123")
    assert "'users/active:123'" in str(caught.value)
    assert "':users/active/123'" in str(caught.value)


REFUSED = [
    "", ":", "a:", "/:a", "a//b:c", "a/:c", "//:c", "%:a", "a%2:c", "a%2f:c", "a%ZZ:c", "a%80:c",
    "a/b", "/", "\ud800", "a:\udfff", "\ud800:a",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        StoreKey.parse(text)


@pytest.mark.parametrize("bad", [None, 1, b"a", ("a",)])
def test_what_is_no_text_is_refused(bad: Any) -> None:
    calls: list[Callable[[Any], object]] = [StoreKey.parse, StoreKey, StoreKey.of]
    for call in (*calls, *(form.parse for form in KeyFormat)):
        with pytest.raises(InvalidKey):
            call(bad)
    with pytest.raises(InvalidKey):
        StoreKey("a", (bad,))


def test_segments_are_checked() -> None:
    for segments in ((), ("",), ("a", ""), ("", "a"), ("\ud800",), (1,)):
        for form in KeyFormat:
            with pytest.raises(InvalidKey):
                form.format(segments)  # type: ignore[arg-type]
    for text in ("", "a::b", "a:%2", "\ud800"):
        with pytest.raises(InvalidKey):
            KeyFormat.colon.parse(text)
    with pytest.raises(InvalidKey, match="found one str"):
        StoreKey("a", "users")


@given(st.lists(SEGMENTS, max_size=8))
def test_keys_sort_like_their_segments(all_segments: list[tuple[str, ...]]) -> None:
    keys = [StoreKey.of_segments(segments) for segments in all_segments]
    assert [key.segments for key in sorted(keys)] == sorted(all_segments)


def test_order_against_plain_text_is_that_of_the_key_it_spells() -> None:
    # As text, "a:b" < "a:c" too, but "a%2Fb:c" < "a-:c" only as text: "/" stands after "-".
    key = StoreKey.parse("a%2Fb:c")
    assert key > "a-:c"
    assert key >= "a-:c"
    assert not key < "a-:c"
    assert not key <= "a-:c"
    assert sorted([key, "a-:c"]) == ["a-:c", key]
    assert key <= str(key)
    assert key >= str(key)
