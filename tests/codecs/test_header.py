"""The header byte: mixed formats read back, and what follows it is the foreign format."""

import shutil
import subprocess
from typing import Any

import msgspec
import pytest
from google.protobuf import wrappers_pb2

from holdfast.codecs.compression import COMPRESSIONS, GZIP, NONE, ZSTD, Compression
from holdfast.codecs.header import HEADER_BYTES, pack, serializer_of, unpack, unwrap, wrap
from holdfast.codecs.serializers import (
    JSON,
    MESSAGE_PACK,
    RAW,
    ProtobufSerializer,
    Serializer,
    SerializerRegistry,
)
from holdfast.contract.errors import DeserializationFailed, FormatTooNew, ValueTooLarge

VALUE = {"name": "Ada", "words": ["again and again"] * 40}
NUMBER = ProtobufSerializer(wrappers_pb2.StringValue)
MESSAGE = wrappers_pb2.StringValue(value="again and again" * 40)
STORED: list[tuple[Any, Serializer]] = [
    (VALUE, MESSAGE_PACK), (VALUE, JSON), (b"again and again" * 40, RAW), (MESSAGE, NUMBER),
]  # fmt: skip


@pytest.mark.row("E-143")
def test_mixed_formats_read_back() -> None:
    headers = set()
    for value, serializer in STORED:
        for compression in COMPRESSIONS:
            data = pack(value, serializer, compression)
            headers.add(data[0])
            assert data[0] == compression.code << 4 | serializer.code
            # Read under another configuration; only a message type has to be named.
            assert unpack(data, NUMBER) == value
            if serializer is not NUMBER:
                assert unpack(data) == value
    assert len(headers) == len(STORED) * len(COMPRESSIONS)


def test_the_lower_half_takes_bytes_that_are_serialized_already() -> None:
    payload = MESSAGE_PACK.encode(VALUE)
    assert wrap(payload, MESSAGE_PACK.code) == pack(VALUE) == b"\x01" + payload
    assert unwrap(pack(VALUE, compression=ZSTD)) == (MESSAGE_PACK.code, payload)


@pytest.mark.row("trap 52")
def test_what_follows_is_the_foreign_format() -> None:
    assert msgspec.msgpack.decode(pack(VALUE)[HEADER_BYTES:]) == VALUE
    gunzip = shutil.which("gzip")
    assert gunzip is not None, "gzip is part of every POSIX system and must be on the path"
    done = subprocess.run(
        [gunzip, "-dc"],
        input=pack(VALUE, JSON, GZIP)[HEADER_BYTES:],
        check=True,
        capture_output=True,
    )
    assert msgspec.json.decode(done.stdout) == VALUE


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda each: each.name)
def test_what_does_not_shrink_is_stored_as_it_is(compression: Compression) -> None:
    assert pack("ab", MESSAGE_PACK, compression) == b"\x01\xa2ab"


def test_the_size_is_bounded_both_ways() -> None:
    data = bytes(1000)
    packed = pack(data, RAW, GZIP, size_max=1000)
    assert unpack(packed, size_max=1000) == data
    with pytest.raises(ValueTooLarge):
        unpack(packed, size_max=999)
    for compression in (NONE, GZIP):
        with pytest.raises(ValueTooLarge) as caught:
            pack(data, RAW, compression, size_max=999)
        assert (caught.value.size, caught.value.size_max) == (1000, 999)


class Upper(Serializer):
    name = "upper"
    code = 15

    def encode(self, value: Any) -> bytes:
        return str(value).upper().encode()

    def decode(self, data: bytes) -> Any:
        return data.decode()


def test_custom_serializers_are_looked_up() -> None:
    known = SerializerRegistry()
    known.register(Upper())
    data = pack("again and again and again", Upper(), ZSTD)
    assert unpack(data, known=known) == "AGAIN AND AGAIN AND AGAIN"
    with pytest.raises(DeserializationFailed, match="register it before reading"):
        unpack(data)


def test_a_registered_message_type_is_the_default() -> None:
    known = SerializerRegistry()
    known.register(NUMBER)
    assert unpack(pack(MESSAGE, NUMBER), known=known) == MESSAGE
    with pytest.raises(DeserializationFailed, match="ProtobufSerializer"):
        unpack(pack(MESSAGE, NUMBER))


@pytest.mark.parametrize(
    ("data", "error", "next_step"),
    [
        (b"", DeserializationFailed, "check the database"),
        (b"\x00abc", DeserializationFailed, "check the database"),
        (b"\x01\xc1", DeserializationFailed, "check the database"),
        (b"\x07abc", FormatTooNew, "newer Holdfast"),
        (b"\x51abc", FormatTooNew, "newer Holdfast"),
        (b"\xf1abc", FormatTooNew, "newer Holdfast"),
        (b"\x11abc", DeserializationFailed, "check the database"),
    ],
)
def test_every_other_header_is_refused(data: bytes, error: type[Exception], next_step: str) -> None:
    with pytest.raises(error, match=next_step):
        unpack(data)


def test_every_code_has_an_answer() -> None:
    for code in range(16):
        try:
            answer = serializer_of(code).code
        except (DeserializationFailed, FormatTooNew) as error:
            answer = int(str(error.found))
        assert answer == code
