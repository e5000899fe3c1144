"""The self-describing header: one byte before stored bytes that says how to read them.

The low four bits are the code of the serializer, the high four bits that of the compression, so
values written under several configurations read back side by side. What follows the byte is the
foreign format and nothing else: strip it and `gzip -dc` or any MessagePack reader takes the rest.

    0x01  MessagePack, as it is             0x11  MessagePack in gzip
    0x02  JSON, as it is                    0x42  JSON in zstd
    0x05  MessagePack in the order given    0x06  MessagePack with extension types (`extended`)
"""

from __future__ import annotations

from typing import Any

from holdfast.codecs.compression import COMPRESSIONS, NONE, VALUE_BYTES_MAX, Compression
from holdfast.codecs.serializers import (
    CUSTOM_CODES,
    MESSAGE_PACK,
    ExtendedSerializer,
    ProtobufSerializer,
    Serializer,
    SerializerRegistry,
    registry,
)
from holdfast.contract.errors import DeserializationFailed, FormatTooNew, ValueTooLarge

HEADER_BYTES = 1
"""The length of the header."""

_CODE_BITS = 4
_CODE_MASK = 0x0F
_PLAIN_HEADERS = [bytes([code]) for code in range(_CODE_MASK + 1)]
_RESERVED_SERIALIZER = 0  # A zero byte is never a header, so zeroed storage is noticed.


def wrap(
    payload: bytes,
    serializer_code: int,
    compression: Compression = NONE,
    *,
    size_max: int = VALUE_BYTES_MAX,
) -> bytes:
    """Serialized `payload` with its header, compressed where that makes it smaller.

    Raises `ValueTooLarge` when the payload is over `size_max` bytes: it could not be unwrapped.
    """
    if len(payload) > size_max:
        raise ValueTooLarge(
            f"wanted a value of at most {size_max} bytes; found {len(payload)} bytes; "
            "split it, or raise size_max for writers and readers alike",
            size=len(payload),
            size_max=size_max,
        )
    if compression.code:
        packed = compression.compress(payload)
        if len(packed) < len(payload):
            return bytes([compression.code << _CODE_BITS | serializer_code]) + packed
    return _PLAIN_HEADERS[serializer_code] + payload


def unwrap(data: bytes, *, size_max: int = VALUE_BYTES_MAX) -> tuple[int, bytes]:
    """The code of the serializer and the serialized payload of wrapped `data`.

    Raises `DeserializationFailed`, `FormatTooNew` for a compression of the future, and
    `ValueTooLarge` when the payload decompresses to more than `size_max` bytes.
    """
    if not data:
        raise DeserializationFailed(
            "wanted a header byte and a value; found no bytes; check the database"
        )
    header = data[0]
    payload = data[HEADER_BYTES:]
    compression_code = header >> _CODE_BITS
    if compression_code:
        if compression_code >= len(COMPRESSIONS):
            raise FormatTooNew(
                f"wanted a compression code up to {len(COMPRESSIONS) - 1}; found "
                f"{compression_code}; open the database with a newer Holdfast",
                found=compression_code,
                supported=len(COMPRESSIONS) - 1,
            )
        payload = COMPRESSIONS[compression_code].decompress(payload, size_max)
    return header & _CODE_MASK, payload


def pack(
    value: Any,
    serializer: Serializer = MESSAGE_PACK,
    compression: Compression = NONE,
    *,
    size_max: int = VALUE_BYTES_MAX,
) -> bytes:
    """`value` as self-describing bytes. Raises `SerializationFailed` or `ValueTooLarge`."""
    return wrap(serializer.encode(value), serializer.code, compression, size_max=size_max)


def unpack(
    data: bytes,
    serializer: Serializer | None = None,
    *,
    known: SerializerRegistry = registry,
    size_max: int = VALUE_BYTES_MAX,
) -> Any:
    """The value of self-describing bytes, whatever configuration wrote them.

    `serializer` reads payloads of its own code (a Protocol Buffers message type has to be given
    so); every other code is looked up in `known`.
    """
    code, payload = unwrap(data, size_max=size_max)
    if serializer is None or serializer.code != code:
        serializer = serializer_of(code, known)
    return serializer.decode(payload)


def serializer_of(code: int, known: SerializerRegistry = registry) -> Serializer:
    """The serializer that wrote under `code`; raises what `unpack` raises when it is not known."""
    serializer = known.coded(code)
    if serializer is not None:
        return serializer
    if code == _RESERVED_SERIALIZER:
        raise DeserializationFailed(
            "wanted a header byte; found one that no version of Holdfast writes; "
            "the bytes are damaged or foreign, check the database",
            found=code,
        )
    if code == ProtobufSerializer.code:
        raise DeserializationFailed(
            "wanted the message type of a Protocol Buffers value; found none; "
            "pass a ProtobufSerializer, or register one as the default",
            found=code,
        )
    if code in CUSTOM_CODES:
        raise DeserializationFailed(
            f"wanted the custom serializer with code {code}; found none registered; "
            "register it before reading, as the writer did",
            found=code,
        )
    raise FormatTooNew(
        f"wanted a serializer code up to {ExtendedSerializer.code}; found {code}; "
        "open the database with a newer Holdfast",
        found=code,
        supported=ExtendedSerializer.code,
    )
