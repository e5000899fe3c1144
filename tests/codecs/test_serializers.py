"""Serializers: a value comes back equal or is refused, in the standard format."""

import collections
import datetime as dt
import decimal
import enum
import math
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest
from google.protobuf import descriptor_pb2, struct_pb2, wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.plain import NESTING_MAX
from holdfast.codecs.serializers import (
    JSON,
    MESSAGE_PACK,
    RAW,
    ProtobufSerializer,
    Serializer,
    SerializerRegistry,
    registry,
)
from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    DriverMissing,
    SerializationFailed,
)

UTC = dt.UTC
SHORT = dt.timezone(dt.timedelta(hours=2, minutes=30))

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
MESSAGE_PACK_SCALARS = JSON_SCALARS | st.binary() | st.datetimes(timezones=st.just(UTC))


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
        max_leaves=20,
    )


def same(one: Any, other: Any) -> bool:
    """Equality that also tells 1 from 1.0 and True, and -0.0 from 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@given(nested(MESSAGE_PACK_SCALARS))
def test_message_pack_gives_back_the_value(value: Any) -> None:
    assert same(MESSAGE_PACK.decode(MESSAGE_PACK.encode(value)), value)


@given(nested(JSON_SCALARS))
def test_json_gives_back_the_value(value: Any) -> None:
    assert same(JSON.decode(JSON.encode(value)), value)


# Bytes written by hand from the MessagePack specification, not by any library.
VECTORS: list[tuple[Any, str]] = [
    (None, "c0"),
    (False, "c2"),
    (True, "c3"),
    (0, "00"),
    (127, "7f"),
    (128, "cc80"),
    (256, "cd0100"),
    (65536, "ce00010000"),
    (2**32, "cf0000000100000000"),
    (2**64 - 1, "cfffffffffffffffff"),
    (-1, "ff"),
    (-32, "e0"),
    (-33, "d0df"),
    (-129, "d1ff7f"),
    (-(2**63), "d38000000000000000"),
    (1.5, "cb3ff8000000000000"),
    ("a", "a161"),
    ("é", "a2c3a9"),
    ("a" * 32, "d920" + "61" * 32),
    (b"\x00\xff", "c40200ff"),
    ([], "90"),
    ([1, [2]], "92019102"),
    ({}, "80"),
    ({"b": 1, "a": None}, "82a161c0a16201"),
    (dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "d6ff00000001"),
]


@pytest.mark.row("trap 52", "I-086")
@pytest.mark.parametrize(("value", "expected"), VECTORS)
def test_message_pack_is_the_specified_format(value: Any, expected: str) -> None:
    assert MESSAGE_PACK.encode(value).hex() == expected
    assert same(MESSAGE_PACK.decode(bytes.fromhex(expected)), value)


@pytest.mark.row("trap 52", "I-086")
def test_foreign_message_pack_is_read() -> None:
    # bin 16, str 32, float 32, array 16, map 16, int 64: forms our own writer never chooses.
    foreign = bytes.fromhex("de0001" + "db0000000161" + "dc0003" + "ca3fc00000" + "c50001ff" + "01")
    assert MESSAGE_PACK.decode(foreign) == {"a": [1.5, b"\xff", 1]}


@pytest.mark.row("trap 52")
def test_json_is_json() -> None:
    assert JSON.encode({"b": [1, 1.5, None, True], "a": 'é"\n'}) == (
        '{"a":"é\\"\\n","b":[1,1.5,null,true]}'.encode()
    )
    assert JSON.decode(b' { "a" : [ 1e2 , "\\u00e9" ] } ') == {"a": [100.0, "é"]}


def test_an_aware_datetime_comes_back_as_the_same_instant() -> None:
    moment = dt.datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=SHORT)
    back = MESSAGE_PACK.decode(MESSAGE_PACK.encode({"at": [moment]}))["at"][0]
    assert back == moment
    assert back.tzinfo is UTC


class Colour(enum.IntEnum):
    RED = 1


class Name(enum.StrEnum):
    ADA = "ada"


class Text(str):
    __slots__ = ()


class Fields(dict[str, int]):
    pass


@dataclass
class Point:
    x: int


class Model(msgspec.Struct):
    x: int


class Pair(NamedTuple):
    x: int
    y: int


REFUSED: list[Any] = [
    object(),
    {1},
    frozenset({1}),
    (1, 2),
    Pair(1, 2),
    range(3),
    1j,
    decimal.Decimal(1),
    uuid.UUID(int=1),
    dt.datetime(2026, 1, 1),  # noqa: DTZ001 - naive on purpose
    dt.date(2026, 1, 1),
    dt.time(1),
    dt.timedelta(1),
    bytearray(b"x"),
    memoryview(b"x"),
    Colour.RED,
    Name.ADA,
    Text("x"),
    Fields(x=1),
    collections.OrderedDict(x=1),
    Point(1),
    Model(1),
    msgspec.UNSET,
    msgspec.Raw(b"\xc0"),
    msgspec.msgpack.Ext(1, b"x"),
    float("nan"),
    float("inf"),
    -float("inf"),
    2**64,
    -(2**63) - 1,
    "\ud800",
    {1: 2},
    {None: 1},
    {b"a": 1},
    {(1, 2): 1},
    {"\udc00": 1},
]
PLACES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda bad: bad, "value"),
    (lambda bad: [bad], "value[0]"),
    (lambda bad: {"a": 1, "b": bad}, "value['b']"),
    (lambda bad: {"a": [1, {"b": [None, bad]}]}, "value['a'][1]['b'][1]"),
]


@pytest.mark.row("K-028")
@pytest.mark.parametrize("serializer", [MESSAGE_PACK, JSON], ids=lambda each: each.name)
@pytest.mark.parametrize(("place", "path"), PLACES)
@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: type(bad).__name__)
def test_what_would_not_come_back_equal_is_refused(
    serializer: Serializer, place: Callable[[Any], Any], path: str, bad: Any
) -> None:
    with pytest.raises(SerializationFailed) as caught:
        serializer.encode(place(bad))
    assert caught.value.path == path
    keyed = type(bad) is dict
    expected = type(next(iter(bad))) if keyed else type(bad)
    assert caught.value.type == expected.__name__
    assert f"(at {path})" in str(caught.value)


@pytest.mark.parametrize("bad", [b"x", dt.datetime(2026, 1, 1, tzinfo=UTC), {Text("x"): 1}])
def test_json_refuses_what_it_cannot_give_back(bad: Any) -> None:
    MESSAGE_PACK.encode([bad])
    with pytest.raises(SerializationFailed):
        JSON.encode([bad])


@given(st.binary(max_size=64), st.floats(allow_nan=False, allow_infinity=False))
def test_bytes_that_look_like_nan_are_no_alarm(data: bytes, number: float) -> None:
    value = [data, b"\xcb\x7f\xf8" + data, b"\xcb\xff\xf0", {"a": [number, 127, -1, 1.7e308]}, 1.5]
    assert MESSAGE_PACK.decode(MESSAGE_PACK.encode(value)) == value
    with pytest.raises(SerializationFailed):
        MESSAGE_PACK.encode([*value, {"a": [math.nan]}])


def test_null_in_text_is_no_alarm() -> None:
    assert JSON.encode({"null": "null", "a": [None, 1.5, [2.5]]}) == (
        b'{"a":[null,1.5,[2.5]],"null":"null"}'
    )


def deep(levels: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind is list else {"k": value}
    return value


@pytest.mark.parametrize("serializer", [MESSAGE_PACK, JSON], ids=lambda each: each.name)
@pytest.mark.parametrize("kind", [list, dict])
def test_nesting_is_limited(serializer: Serializer, kind: type) -> None:
    deepest = deep(NESTING_MAX, kind)
    assert serializer.decode(serializer.encode(deepest)) == deepest
    for levels in (NESTING_MAX + 1, 100_000):
        with pytest.raises(SerializationFailed, match=f"more than {NESTING_MAX} levels"):
            serializer.encode(deep(levels, kind))


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value += [value, value]
    with pytest.raises(SerializationFailed, match="levels of nesting"):
        MESSAGE_PACK.encode(value)


@pytest.mark.parametrize("serializer", [MESSAGE_PACK, JSON], ids=lambda each: each.name)
def test_a_full_call_stack_is_told_from_a_bad_value(serializer: Serializer) -> None:
    value = deep(NESTING_MAX, list)

    def encode_below(frames: int) -> bytes:
        return encode_below(frames - 1) if frames else serializer.encode(value)

    def frames_here() -> int:
        frame, count = sys._getframe(), 0
        while frame is not None:
            frame, count = frame.f_back, count + 1  # type: ignore[assignment]
        return count

    left = sys.getrecursionlimit() - frames_here()
    with pytest.raises(SerializationFailed, match="call stack allows"):
        encode_below(left - NESTING_MAX // 2)
    assert serializer.decode(encode_below(10)) == value


@pytest.mark.parametrize(
    ("serializer", "data"),
    [
        (MESSAGE_PACK, b""),
        (MESSAGE_PACK, b"\xc1"),
        (MESSAGE_PACK, b"\x93\x01"),
        (MESSAGE_PACK, b"\x01\x02"),
        (MESSAGE_PACK, b"\xa1\xff"),
        (MESSAGE_PACK, b"\xd4\x05x"),
        (MESSAGE_PACK, b"\x81\x80\x01"),
        (MESSAGE_PACK, b"\x91" * 100_000),
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b"nan"),
        (JSON, b'"\xff"'),
        (JSON, b"[" * 100_000),
    ],
)
def test_malformed_bytes_are_refused(serializer: Serializer, data: bytes) -> None:
    with pytest.raises(DeserializationFailed, match=f"wanted {serializer.name} bytes"):
        serializer.decode(data)


def test_raw_takes_bytes_only() -> None:
    assert RAW.decode(RAW.encode(b"\x00\xff")) == b"\x00\xff"
    for bad in ("text", bytearray(b"x"), 1, None):
        with pytest.raises(SerializationFailed, match="wanted bytes"):
            RAW.encode(bad)


# Field 1, varint 150: the example of the Protocol Buffers encoding guide.
WIRE_150 = bytes.fromhex("089601")


@pytest.mark.row("trap 52", "I-087")
def test_protobuf_reads_and_writes_known_wire_bytes() -> None:
    serializer = ProtobufSerializer(wrappers_pb2.Int32Value)
    assert serializer.encode(wrappers_pb2.Int32Value(value=150)) == WIRE_150
    assert serializer.decode(WIRE_150) == wrappers_pb2.Int32Value(value=150)


def test_protobuf_writes_maps_in_one_order() -> None:
    serializer = ProtobufSerializer(struct_pb2.Struct)
    names = [f"field {index}" for index in range(50)]
    forward, backward = struct_pb2.Struct(), struct_pb2.Struct()
    forward.update(dict.fromkeys(names, 1))
    backward.update(dict.fromkeys(reversed(names), 1))
    assert serializer.encode(forward) == serializer.encode(backward)


def test_protobuf_refuses_other_values_and_bytes() -> None:
    serializer = ProtobufSerializer(wrappers_pb2.Int32Value)
    for bad in (150, wrappers_pb2.StringValue(value="x"), None):
        with pytest.raises(SerializationFailed, match=r"google\.protobuf\.Int32Value"):
            serializer.encode(bad)
    with pytest.raises(DeserializationFailed):
        serializer.decode(b"\x08")
    with pytest.raises(SerializationFailed, match="required"):
        # name_part is a required field of this proto2 message.
        ProtobufSerializer(descriptor_pb2.UninterpretedOption.NamePart).encode(
            descriptor_pb2.UninterpretedOption.NamePart()
        )
    with pytest.raises(ConfigInvalid, match="message class"):
        ProtobufSerializer(wrappers_pb2.Int32Value())  # type: ignore[arg-type]


class DecimalSerializer(Serializer):
    name = "decimal"
    code = 8

    def encode(self, value: Any) -> bytes:
        return str(value).encode()

    def decode(self, data: bytes) -> decimal.Decimal:
        return decimal.Decimal(data.decode())


@pytest.mark.row("E-132")
def test_a_custom_serializer_is_found_by_name_and_code() -> None:
    known = SerializerRegistry()
    custom = DecimalSerializer()
    known.register(custom)
    known.register(custom)  # The same one again changes nothing.
    assert known.named("decimal") is custom
    assert known.coded(8) is custom
    assert [each.name for each in known] == [
        "msgpack",
        "json",
        "raw",
        "ordered",
        "extended",
        "decimal",
    ]
    assert registry.coded(8) is None


@pytest.mark.parametrize(
    ("name", "code"), [("other", 8), ("decimal", 9), ("json", 9), ("x", 1), ("x", 16), ("", 9)]
)
def test_a_taken_or_reserved_name_or_code_is_refused(name: str, code: int) -> None:
    known = SerializerRegistry()
    known.register(DecimalSerializer())
    second = DecimalSerializer()
    second.name, second.code = name, code
    with pytest.raises(ConfigInvalid, match=r"choose|set"):
        known.register(second)
    assert [each.name for each in known] == [
        "msgpack",
        "json",
        "raw",
        "ordered",
        "extended",
        "decimal",
    ]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="msgpack, json, raw"):
        registry.named("pickle")


def test_one_message_type_may_be_the_default() -> None:
    known = SerializerRegistry()
    known.register(ProtobufSerializer(wrappers_pb2.Int32Value))
    with pytest.raises(ConfigInvalid, match="choose another"):
        known.register(ProtobufSerializer(wrappers_pb2.StringValue))


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


OPTIONAL_DRIVERS = ["lz4", "cramjam", "zstandard", "google.protobuf", "orjson"]


def test_importing_the_codecs_loads_no_driver() -> None:
    loaded = run(
        "import sys, holdfast.codecs.serializers, holdfast.codecs.header, holdfast.codecs.digest,"
        "holdfast.codecs.canonical, holdfast.codecs.pattern, holdfast.codecs.trie\n"
        f"print([name for name in {OPTIONAL_DRIVERS} if name in sys.modules])"
    )
    assert loaded == "[]"


def test_missing_protobuf_names_the_extra() -> None:
    # A None in sys.modules is how Python itself records a package that cannot be imported.
    text = run(
        "import sys; sys.modules['google.protobuf.message'] = None\n"
        "from holdfast.codecs.serializers import ProtobufSerializer\n"
        "from holdfast.contract.errors import DriverMissing\n"
        "try: ProtobufSerializer(object)\n"
        "except DriverMissing as error: print(error)"
    )
    assert "pip install 'holdfast-db[protobuf]'" in text
    assert issubclass(DriverMissing, ImportError)


@given(nested(JSON_SCALARS))
def test_json_is_read_by_another_reader(value: Any) -> None:
    data = JSON.encode(value)
    assert same(msgspec.json.decode(data), orjson.loads(data))
