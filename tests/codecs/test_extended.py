"""The extended serializer: Python's own types come back equal, in one form of bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime, time
from decimal import Decimal
from enum import Enum, Flag, StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs import typed_json
from holdfast.codecs.extended import ENUMS, EnumMember
from holdfast.codecs.serializers import EXTENDED, MESSAGE_PACK, ExtendedSerializer
from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    InvalidInput,
    SerializationFailed,
)

Point = namedtuple("Point", "x y")  # noqa: PYI024 - what somebody may try to store


class Colour(Enum):
    RED = "red"
    SCARLET = "red"  # noqa: PIE796 - an alias
    BLUE = 2


class Word(StrEnum):
    YES = "yes"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Unknown(Enum):
    ONE = 1


ExtendedSerializer([Colour, Word, Rights])

hashable = st.recursive(
    st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=5)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.datetimes(timezones=st.just(UTC))
    | st.sampled_from([Colour.RED, Colour.BLUE, Word.YES, Rights.READ, EnumMember("A", "B")]),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
names = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(
    ["$tuple", "$decimal", "$$date", "$enum", "$ordered"]
)
values = st.recursive(
    hashable | st.sets(hashable, max_size=3) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(names, inner, max_size=3)
        | st.dictionaries(names, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all through."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        in_order = not isinstance(one, OrderedDict) or list(one) == list(other)
        return in_order and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return all(map(same, one, other))
    return not isinstance(one, Decimal) or str(one) == str(other)


@given(values)
def test_a_value_comes_back_equal_and_of_its_types(value: Any) -> None:
    data = EXTENDED.encode(value)
    again = EXTENDED.decode(data)
    assert same(again, value), again
    assert EXTENDED.encode(again) == data, "a value has one form"
    assert same(typed_json.loads(typed_json.dumps(value)), value)


def test_what_message_pack_holds_has_its_bytes() -> None:
    value = {"z": [1, 2.5, None, True, b"x"], "a": datetime(2026, 1, 1, tzinfo=UTC), "t": "é"}
    assert EXTENDED.encode(value) == MESSAGE_PACK.encode(value)


def test_the_order_of_an_ordered_dict_counts_and_that_of_a_dict_does_not() -> None:
    one, other = OrderedDict(a=(1,), b=2), OrderedDict(b=2, a=(1,))
    assert EXTENDED.encode(one) != EXTENDED.encode(other)
    assert EXTENDED.encode({"a": (1,), "b": 2}) == EXTENDED.encode({"b": 2, "a": (1,)})
    assert EXTENDED.encode({"a": Decimal("1.10")}) != EXTENDED.encode({"a": Decimal("1.1")})


def test_other_processes_write_the_same_bytes() -> None:
    program = (
        "from holdfast.codecs.serializers import EXTENDED\n"
        "from uuid import UUID\n"
        "print(EXTENDED.encode({'s': {UUID(int=n) for n in range(50)}, "
        "'f': frozenset('a b c d e f'.split())}).hex())"
    )
    source = str(Path(__file__).parents[2] / "src")
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": source},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1


deep: Any = ()
for _ in range(250):
    deep = (deep,)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Point(1, 2), "_asdict()"),
        (Unknown.ONE, "enums=[Unknown]"),
        (Rights.READ | Rights.WRITE, "flags"),
        (Decimal("NaN"), "NaN"),
        (Decimal("-Infinity"), "infinite"),
        (time(1, tzinfo=UTC), "zone"),
        (datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001 - a naive one is the case
        (float("inf"), "infinite"),
        (2**64, "outside"),
        ("\ud800", "surrogate"),
        ({(1, 2): 3}, "mapping key of type tuple"),
        (OrderedDict({1: 2}), "mapping key of type int"),
        ({"\ud800": 1}, "surrogate"),
        (deep, "levels of nesting"),
        (object(), "plain data"),
        (EnumMember(1, "A"), "no texts"),  # type: ignore[arg-type]
    ],
    ids=lambda one: one if isinstance(one, str) and one.isascii() else type(one).__name__,
)
def test_what_cannot_be_kept_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(SerializationFailed, match=re.escape(told)):
        EXTENDED.encode(value)
    with pytest.raises(SerializationFailed) as caught:
        EXTENDED.encode({"a": (1, [value])})
    assert str(caught.value.details["path"]).startswith("value['a'][1][0]")


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append((value,))
    with pytest.raises(SerializationFailed, match="nesting"):
        EXTENDED.encode(value)


def test_a_reader_without_the_class_keeps_the_names() -> None:
    data = EXTENDED.encode({"c": Colour.BLUE})
    assert EXTENDED.decode(data)["c"] is Colour.BLUE
    known, ENUMS.named = ENUMS.named, {}
    try:
        found = EXTENDED.decode(data)
        assert found == {"c": EnumMember("Colour", "BLUE")}
        assert EXTENDED.encode(found) == data
    finally:
        ENUMS.named = known
    assert EXTENDED.decode(EXTENDED.encode(Colour.SCARLET)) is Colour.RED


def test_names_of_enums_are_taken_once() -> None:
    class Other(Enum):
        A = 1

    ExtendedSerializer({"renamed": Other})
    assert EXTENDED.decode(EXTENDED.encode(Other.A)) is Other.A
    ExtendedSerializer({"renamed": Other})  # Again is no fault.
    wrong: Any
    for wrong in ({"Colour": Other}, [Other], [int], ["Other"], {1: Other}, {"b": 1}):
        with pytest.raises(ConfigInvalid):
            ExtendedSerializer(wrong)


@pytest.mark.parametrize("number", range(-3, 14))
def test_extensions_that_nobody_wrote_are_told(number: int) -> None:
    """They are refused, or they are a value that could have been written."""
    garbage = (
        b"", b"\xc1", b"abc", b"\x92\x01", b"\x91\x90", b"\xff" * 16, b"\x92\x80\x80", b"NaN",
        b"1E+99999999999999999999", b"10:00+01:00", b"\x91\x92\x01\x02", b"\x92\xa1A\x01",
        b"\x93\xcf\x00\x00\x00\xe8\xd4\xa5\x10\x00\x00\x00",
    )  # fmt: skip
    for payload in garbage:
        data = msgspec.msgpack.encode(msgspec.msgpack.Ext(number, payload))
        try:
            found = EXTENDED.decode(data)
        except DeserializationFailed:
            continue  # Whatever else comes is a raw error.
        if not isinstance(found, datetime):
            assert EXTENDED.decode(EXTENDED.encode(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        '{"$decimal": 1}',
        '{"$decimal": "x"}',
        '{"$uuid": "1"}',
        '{"$date": "2025-13-01"}',
        '{"$time": 5}',
        '{"$timedelta": [1, 2, 3, "4"]}',
        '{"$timedelta": [999999999999, 0, 0]}',
        '{"$tuple": "abc"}',
        '{"$set": [[1]]}',
        '{"$ordered": [1]}',
        '{"$ordered": [[[1], 2]]}',
        '{"$enum": ["a"]}',
        '{"$enum": [1, 2]}',
    ],
)
def test_json_that_spells_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        typed_json.loads(text)
