"""Turning values into stored bytes: small ones at once, big ones in chunks away from the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from holdfast.codecs import header
from holdfast.codecs.compression import NONE, Compression
from holdfast.codecs.serializers import (
    JSON,
    MESSAGE_PACK,
    ORDERED,
    ExtendedSerializer,
    Serializer,
)
from holdfast.contract.errors import IntegrityFailed, SerializationFailed, ValueTooLarge
from holdfast.contract.memory import is_left, limited, no_memory
from holdfast.contract.record import Record
from holdfast.contract.runtime import Host

T = TypeVar("T")

#: Values above this are stored in chunks of this size, once, whatever becomes of the entry.
CHUNK_BYTES = 256 * 1024
#: The most bytes one value can have.
VALUE_BYTES_MAX = 192 * 1024 * 1024

_PLAIN = bytes((MESSAGE_PACK.code,))
_NO_CHUNKS: list[bytes] = []  # Shared; never changed.
_MESSAGE_PACK_VALUES = (MESSAGE_PACK.code, JSON.code, ORDERED.code)
_TEXT_SLICE = CHUNK_BYTES // 4
#: How many times its length serializing a value takes: buffers grow by copying, chunks are copies.
_ROOM_TIMES = 4
#: About what a number or a name takes.
_SCALAR_BYTES = 9


def chunk_values(records: Iterable[Record | None]) -> list[bytes]:
    """The chunks of a big value as they were read. Raises IntegrityFailed when one is missing."""
    chunks = []
    for record in records:
        if record is None:
            raise IntegrityFailed(
                "a chunk of a big value is missing; run `holdfast check` on the database"
            )
        chunks.append(record.value)
    return chunks


class Serialized(msgspec.Struct, frozen=True, gc=False):
    """A value on its way into storage.

    Attributes:
        canonical: the bytes that its digest is taken of, as one piece or in chunks.
        payload: what is stored: the self-describing header byte and the serialized value; None
            when the value is big and its chunks are stored instead.
    """

    canonical: list[bytes]
    payload: bytes | None
    chunks: list[bytes]


class Values:
    """Serialises values in one configuration; reads any."""

    def __init__(
        self, host: Host, serializer: Serializer = MESSAGE_PACK, compression: Compression = NONE
    ) -> None:
        self._host = host
        self._serializer = serializer
        self._compression = compression
        self._plain = serializer is MESSAGE_PACK and compression is NONE
        #: Whether the serializer may hold what MessagePack does not.
        self._custom = serializer.code not in _MESSAGE_PACK_VALUES
        self._extended = isinstance(serializer, ExtendedSerializer)

    async def apart(self, work: Callable[[], T]) -> T:
        """Run work that takes long where it does not hold up a loop."""
        return await self._host.runtime().offload(work)

    async def serialize(self, value: Any) -> Serialized:
        """The bytes of a value; a big one away from the event loop."""
        if _may_be_big(value):
            return await self.apart(lambda: self.serialize_now(value))
        return self.serialize_now(value)

    def serialize_small(self, value: Any) -> Serialized | None:
        """The bytes of a value; None where it may be big."""
        if self._plain:
            canonical = MESSAGE_PACK.encode_small(value)
            if canonical is not None:
                return Serialized([canonical], _PLAIN + canonical, _NO_CHUNKS)
        return None if _may_be_big(value) else self._serialize_any(value)

    def serialize_now(self, value: Any) -> Serialized:
        """The bytes of a value, in this thread.

        Raises:
            QuotaExceeded: the system gives no memory for them.
        """
        if self._plain:
            canonical = MESSAGE_PACK.encode_small(value)
            if canonical is not None:
                return Serialized([canonical], _PLAIN + canonical, _NO_CHUNKS)
        return self._serialize_any(value)

    def _serialize_any(self, value: Any) -> Serialized:
        try:
            if _may_be_big(value) and limited() and not is_left(_ROOM_TIMES * _extent(value)):
                raise no_memory("serialize the value")  # The encoder would crash.
            return self._serialize_now(value)
        except MemoryError as error:
            raise no_memory("serialize the value") from error

    def _serialize_now(self, value: Any) -> Serialized:
        if self._plain and isinstance(value, str | bytes) and len(value) > CHUNK_BYTES:
            return _serialize_long(value)
        serializer = self._serializer
        try:
            canonical = MESSAGE_PACK.encode(value)
            if self._extended:
                serializer = MESSAGE_PACK  # Its bytes would be the same, and every reader has this.
        except SerializationFailed:
            if not self._custom:
                raise
            # The digest is taken of what is stored; `records/check.py` does the same.
            canonical = serializer.encode(value)
        if self._plain and len(canonical) < CHUNK_BYTES:
            return Serialized([canonical], _PLAIN + canonical, [])
        if self._plain:
            payload = _PLAIN + canonical
        else:
            encoded = canonical
            if serializer is not MESSAGE_PACK:
                encoded = serializer.encode(value)
            payload = header.wrap(encoded, serializer.code, self._compression)
        if len(payload) <= CHUNK_BYTES:
            return Serialized([canonical], payload, [])
        _require_size(len(payload))
        chunks = [
            payload[start : start + CHUNK_BYTES] for start in range(0, len(payload), CHUNK_BYTES)
        ]
        return Serialized([canonical], None, chunks)


def _may_be_big(value: Any) -> bool:
    """Whether serialising the value may take long enough to hold up a loop."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) > CHUNK_BYTES
    if kind is dict:
        if len(value) > CHUNK_BYTES // 16:
            return True
        for part in value.values():
            kind = type(part)
            if (kind is str or kind is bytes or kind is list) and len(part) > CHUNK_BYTES // 16:
                return True
        return False
    return kind is list and len(value) > CHUNK_BYTES // 16


def _serialize_long(value: str | bytes) -> Serialized:
    """MessagePack of one long text or byte string, made piece by piece.

    Pieces keep each step short, so that a thread doing this lets others run in between.
    """
    pieces = []
    if isinstance(value, bytes):
        length = len(value)
        _require_size(length)
        pieces = [value[at : at + CHUNK_BYTES] for at in range(0, length, CHUNK_BYTES)]
        first = b"\xc6" + length.to_bytes(4, "big")
    else:
        _require_size(len(value))
        try:
            pieces = [
                value[at : at + _TEXT_SLICE].encode() for at in range(0, len(value), _TEXT_SLICE)
            ]
        except UnicodeEncodeError:
            MESSAGE_PACK.encode(value)  # Refuses, saying where.
            raise
        length = sum(map(len, pieces))
        _require_size(length)
        first = b"\xdb" + length.to_bytes(4, "big")
    pieces[0] = first + pieces[0]
    return Serialized(pieces, None, [_PLAIN + pieces[0], *pieces[1:]])


def _extent(value: Any) -> int:
    """About how many bytes the value becomes; what is too long is not counted to its end."""
    total, waiting = 0, [value]
    while waiting and total <= VALUE_BYTES_MAX:  # A list may hold itself.
        part = waiting.pop()
        kind = type(part)
        total += len(part) if kind is str or kind is bytes else _SCALAR_BYTES
        if kind is dict:
            waiting.extend(part)
            waiting.extend(part.values())
        elif kind is list:
            waiting.extend(part)
    return total


def _require_size(length: int) -> None:
    if length > VALUE_BYTES_MAX:
        raise ValueTooLarge(
            f"a value has at most {VALUE_BYTES_MAX} bytes; found {length}. Split it over keys",
            limit=VALUE_BYTES_MAX,
            found=length,
        )
