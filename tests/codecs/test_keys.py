"""Packed keys: other tuple, other bytes; bytes sort as the tuples do; damage is refused."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.codecs.keys import NESTING_MAX, Element, pack, pack_text, prefix_range, unpack
from holdfast.contract.errors import DeserializationFailed, InvalidKey

HOSTILE = st.text(alphabet=st.sampled_from("/:.%*+#\0\x01\xff aZé́\U0001f600￿"))
TEXTS = HOSTILE | st.text(st.characters(exclude_categories=["Cs"]))
BYTES = st.binary() | st.lists(st.sampled_from([0, 1, 0xFE, 0xFF])).map(bytes)
# Sizes where the length of the packed form changes.
EDGES = st.builds(
    lambda bits, offset, sign: sign * ((1 << bits) + offset),
    st.sampled_from([0, 7, 8, 15, 16, 31, 32, 52, 53, 63, 64, 65, 71, 72, 128, 800]),
    st.integers(-2, 2),
    st.sampled_from([1, -1]),
)
NUMBERS = st.integers() | EDGES | st.floats(allow_nan=False) | EDGES.map(lambda n: n / 2**9)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS | BYTES
ELEMENTS: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=8
)
TUPLES = st.lists(ELEMENTS, max_size=4).map(tuple)

_TYPES: list[tuple[type, ...]] = [(type(None),), (int, float), (str,), (tuple,), (bytes,), (bool,)]


def rank(element: Element) -> tuple[Any, ...]:
    """The order that the module promises, spelled without its encoding."""
    kind = next(place for place, types in enumerate(_TYPES) if type(element) in types)
    if isinstance(element, tuple):
        return kind, tuple(rank(part) for part in element)
    if isinstance(element, str):
        return kind, element.encode()
    if element is None:
        return (kind,)
    if type(element) in (int, float):
        return kind, element, type(element) is float
    return kind, element


def ranks(elements: tuple[Element, ...]) -> tuple[Any, ...]:
    return tuple(rank(element) for element in elements)


def exact(element: Element) -> Any:
    """Equal only for the same types all the way down; -0.0 stands for 0.0."""
    if isinstance(element, tuple):
        return tuple(exact(part) for part in element)
    return type(element), element


@pytest.mark.row("K-040")
@given(TUPLES)
@example(("", (), b"", None, False, 0, 0.0))
@example(((((),),),))
@example((math.inf, -math.inf, 5e-324, -5e-324, 1.7976931348623157e308))
def test_a_key_comes_back_as_it_was(key: tuple[Element, ...]) -> None:
    again = unpack(pack(key))
    assert exact(again) == exact(key)


@pytest.mark.row("K-041", "trap 19")
@given(TUPLES, TUPLES)
@example(("a/b",), ("a", "b"))
@example(("a\0b",), ("a", "b"))
@example(("a", "b:c"), ("a:b", "c"))
@example((("a",), "b"), (("a", "b"),))
@example(("1",), (1,))
@example((1,), (True,))
@example((1,), (1.0,))
@example(("a",), (b"a",))
@example((None,), ("",))
@example(("é",), ("é",))
def test_other_keys_have_other_bytes(left: tuple[Element, ...], right: tuple[Element, ...]) -> None:
    assert (pack(left) == pack(right)) == (exact(left) == exact(right))


@pytest.mark.row("trap 37")
@given(TUPLES, TUPLES)
@example((1.5,), (2,))
@example((-1.5,), (-2,))
@example((2**64,), (2**64 - 1,))
@example((-(2**64),), (-(2**64) + 1,))
@example((2**53 + 1,), (2.0**53,))
@example((1.001953125,), (1.0,))
@example((math.inf,), (10**400,))
@example(("a",), ("a\0",))
@example(("a", "b"), ("a\0",))
@example(((),), ((None,),))
def test_bytes_sort_as_the_tuples_do(left: tuple[Element, ...], right: tuple[Element, ...]) -> None:
    assert (pack(left) < pack(right)) == (ranks(left) < ranks(right))


@given(TUPLES, TUPLES, ELEMENTS)
@example(("a",), (), "a\0")
@example((1.0,), (), 1.001953125)
@example((b"\0",), (), b"\0\xff")
def test_a_prefix_range_holds_what_begins_with_it_and_nothing_else(
    stem: tuple[Element, ...], rest: tuple[Element, ...], other: Element
) -> None:
    range = prefix_range(stem)
    assert pack(stem + rest) in range or not stem + rest
    beside = (*stem[:-1], other)
    begins = exact(beside[: len(stem)]) == exact(stem)
    assert (pack(beside) in range) == begins
    assert prefix_range(stem, reverse=True).reverse


@given(TUPLES)
def test_the_prefix_range_of_the_empty_tuple_is_everything(key: tuple[Element, ...]) -> None:
    everything = prefix_range(())
    assert everything.start is None
    assert everything.end is None
    assert pack(key) in everything


@given(TEXTS)
def test_one_text_packs_like_a_tuple_of_it(text: str) -> None:
    assert pack_text(text) == pack((text,))


def test_types_sort_in_the_documented_order() -> None:
    keys: list[tuple[Element, ...]] = [
        (None,), (-math.inf,), (-(10**30),), (-1,), (-0.5,), (0,), (0.0,), (0.5,), (1,), (1.0,),
        (10**30,), (math.inf,), ("",), ("a",), ((),), (("a",),), (b"",), (b"\xff",), (False,),
        (True,),
    ]  # fmt: skip
    for lower, higher in pairwise(keys):
        assert pack(lower) < pack(higher), (lower, higher)


@pytest.mark.row("trap 13")
def test_minus_zero_is_zero() -> None:
    assert pack((-0.0,)) == pack((0.0,))
    assert pack((-0.0,)) != pack((0,))


@pytest.mark.row("trap 13")
@pytest.mark.parametrize("key", [(math.nan,), (("a", math.nan),), (-math.nan,)])
def test_nan_is_refused(key: tuple[Element, ...]) -> None:
    with pytest.raises(InvalidKey, match="NaN"):
        pack(key)


@pytest.mark.row("trap 13")
@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udcff:b"])
def test_lone_surrogates_are_refused(text: str) -> None:
    with pytest.raises(InvalidKey, match="surrogate"):
        pack((text,))


@pytest.mark.parametrize("element", [object(), [1], {"a": 1}, bytearray(b"a"), 1j, {1}])
def test_other_types_are_refused_by_name(element: Any) -> None:
    with pytest.raises(InvalidKey, match=type(element).__name__):
        pack((element,))


def nested(depth: int) -> Element:
    element: Element = None
    for _ in range(depth):
        element = (element,)
    return element


def test_nesting_is_limited_in_both_directions() -> None:
    deepest = (nested(NESTING_MAX),)
    assert unpack(pack(deepest)) == deepest
    with pytest.raises(InvalidKey, match=str(NESTING_MAX)):
        pack((nested(NESTING_MAX + 1),))
    too_deep = b"\x2c" * (NESTING_MAX + 1) + b"\x05" + b"\0" * (NESTING_MAX + 1)
    with pytest.raises(DeserializationFailed):
        unpack(too_deep)
    with pytest.raises(DeserializationFailed):
        unpack(b"\x2c" * 100_000)


@given(st.binary(max_size=40))
@example(b"\x14\x00\x00\x01")  # a zero that takes a byte
@example(b"\x13\x00\xff\x00\x02")  # a fraction that ends in zeros
@example(b"\x1c\x00\x00\x00\x01\x05\x00\x01")  # a small number written as a big one
@example(b"\x1c\xff\xff\xff\xff")
@example(b"\x0a\xff\xff\xff\xff")
@example(b"\x12\xff\x00\x01")  # minus zero
@example(b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x00\x02")  # no float holds it
@example(b"\x1c\x00\x00\x01\x00" + b"\xff" * 256 + b"\x00\x02")
@example(b"\x20\xed\xa0\x80\x00")
@example(b"\x20a")
@example(b"\x2c\x05")
@example(b"\xff")
def test_only_what_pack_writes_can_be_unpacked(packed: bytes) -> None:
    try:
        key = unpack(packed)
    except DeserializationFailed as error:
        refused = error
    else:
        assert pack(key) == packed
        return
    assert refused.position is not None
    assert refused.position <= len(packed)


@given(TUPLES.filter(bool), st.data())
def test_a_cut_key_never_comes_back_as_the_whole(
    key: tuple[Element, ...], data: st.DataObject
) -> None:
    packed = pack(key)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    try:
        found = unpack(cut)
    except DeserializationFailed:
        return
    # Cut inside an escape it may spell another key, never this one.
    assert exact(found) != exact(key)
    assert pack(found) == cut
