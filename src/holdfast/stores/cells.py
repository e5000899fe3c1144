"""Values of a store as rows: packed as its configuration says, big ones in chunks.

A chunk can be read by itself, so a part of a big value costs the chunks it touches and no more.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from holdfast.codecs import header
from holdfast.codecs.envelope import BLOB
from holdfast.codecs.serializers import JSON, MESSAGE_PACK
from holdfast.contract.errors import DeserializationFailed, IntegrityFailed
from holdfast.contract.memory import no_memory
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.plain.rows import LASTING, PACKED, plain_value
from holdfast.store.plan import Plan, RowChange
from holdfast.store.versions.chunks import CHUNK_BYTES
from holdfast.stores.config import Remembered

#: Reads rows of an engine, all of one moment.
Read = Callable[[Sequence[bytes]], Awaitable[list[Record | None]]]

_RAW_CODE: Final = 3
_INDEX_BYTES: Final = 4
_REFERENCE: Final = struct.Struct(">16sQI32s")


class Reference(NamedTuple):
    """Where the chunks of a big value are.

    Attributes:
        id: of the value; what the keys of its chunks begin with.
        length: of the value, in bytes.
        chunk_bytes: of each chunk but the last, as given by the caller.
        digest: SHA-256 of the value.
    """

    id: bytes
    length: int
    chunk_bytes: int
    digest: bytes

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-self.length // self.chunk_bytes)

    def encoded(self) -> bytes:
        """The form in which it stands in the place of the value."""
        return _REFERENCE.pack(*self)


class Cell(NamedTuple):
    """A value on its way into a store.

    Attributes:
        flags, payload: of its row.
        chunks: keys and rows of its chunks, where it is big.
    """

    flags: int
    payload: bytes
    chunks: tuple[tuple[bytes, bytes], ...] = ()


class Cells:
    """Packs the values of one store, and reads them back.

    Args:
        number: of the keyspace.
        remembered: how it keeps its values.
        chunk_bytes: of which size on a value lies in chunks; 0: never.
    """

    def __init__(self, number: int, remembered: Remembered, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._blobs = layout.region(number, layout.BLOB)
        self._format = remembered.config.format
        self._compression = remembered.compression
        self._chunk_bytes = chunk_bytes
        #: Small values stand in their rows as they are.
        self.bare = self._format == "raw" and not self._compression.code

    def pack(self, value: bytes, new_id: bytes) -> Cell:
        """The row of a value, and its chunks; `new_id` is for a value that needs some.

        Raises:
            QuotaExceeded: the system gives no memory for them.
        """
        try:
            return self._pack(value, new_id)
        except MemoryError as error:
            raise no_memory("pack the value") from error

    def _pack(self, value: bytes, new_id: bytes) -> Cell:
        if self._chunk_bytes and len(value) > self._chunk_bytes:
            flags = BLOB if self.bare else BLOB | PACKED
            reference = Reference(new_id, len(value), self._chunk_bytes, sha256(value).digest())
            chunks = tuple(
                (self.chunk_key(new_id, index), self._pack_piece(piece))
                for index, piece in enumerate(_pieces(value, self._chunk_bytes))
            )
            return Cell(flags, reference.encoded(), chunks)
        return Cell(0 if self.bare else PACKED, self._pack_piece(value))

    def value(self, stored: bytes) -> bytes | Reference:
        """The value of a row, or where it is. Raises IntegrityFailed, FormatTooNew."""
        if stored[:2] == LASTING:
            return stored[2:]
        payload = plain_value(stored)
        flags = stored[1]
        if flags & BLOB:
            return reference_of(payload)
        return unpack_piece(payload) if flags & PACKED else payload

    def piece(self, stored: bytes, chunk: bytes, reference: Reference, index: int) -> bytes:
        """A piece of the value whose row is `stored`, from the row of its chunk.

        Raises IntegrityFailed when it is shorter or longer than it was: a handle without the layer
        that packed it would otherwise give packed bytes for the value.
        """
        piece = unpack_piece(chunk) if stored[1] & PACKED else chunk
        size = reference.chunk_bytes
        wanted = min(size, reference.length - index * size)
        if len(piece) != wanted:
            raise IntegrityFailed(
                f"a chunk of {wanted} bytes was wanted; found {len(piece)}. Open the database "
                "anew, with the layers that its other processes have; run `holdfast check`"
            )
        return piece

    def chunk_key(self, id: bytes, index: int) -> bytes:
        """The key of a chunk."""
        return self._blobs + id + index.to_bytes(_INDEX_BYTES, "big")

    def _pack_piece(self, piece: bytes) -> bytes:
        if self.bare:
            return piece
        if self._format == "msgpack":
            return header.wrap(MESSAGE_PACK.encode(piece), MESSAGE_PACK.code, self._compression)
        if self._format == "json":
            return header.wrap(_json(piece), JSON.code, self._compression)
        return header.wrap(piece, _RAW_CODE, self._compression)


async def whole_value(read: Read, cells: Cells, stored: bytes) -> bytes | None:
    """The value of a row, with its chunks; None when one is not there (any more)."""
    found = cells.value(stored)
    if not isinstance(found, Reference):
        return found
    keys = [cells.chunk_key(found.id, index) for index in range(found.chunks)]
    pieces = []
    records = await read(keys)
    try:
        for index, record in enumerate(records):
            if record is None:
                return None
            pieces.append(cells.piece(stored, record.value, found, index))
        return b"".join(pieces)
    except MemoryError as error:
        raise no_memory("put the value together", lighter="read it elsewhere") from error


def unpack_piece(packed: bytes) -> bytes:
    """What was packed with a header byte. Raises IntegrityFailed."""
    try:
        code, payload = header.unwrap(packed)
        if code == _RAW_CODE:
            return payload
        if code == MESSAGE_PACK.code:
            return msgspec.msgpack.decode(payload, type=bytes)
        if code == JSON.code:
            return _from_json(payload)
    except (DeserializationFailed, msgspec.DecodeError, ValueError) as error:
        raise IntegrityFailed(
            "a value of a store cannot be unpacked; run `holdfast check` on the database"
        ) from error
    raise IntegrityFailed(
        f"a value of a store is packed in an unknown way ({code}); run `holdfast check`"
    )


def reference_of(payload: bytes) -> Reference:
    """The reference in the place of a value. Raises IntegrityFailed."""
    if len(payload) == _REFERENCE.size:
        reference = Reference(*_REFERENCE.unpack(payload))
        if reference.length and reference.chunk_bytes:
            return reference
    raise IntegrityFailed(
        "the row of a big value does not say where its chunks are; run `holdfast check`"
    )


class ChunkRows:
    """The chunks of big values: they go when their value does."""

    name: Final = "chunks"
    flags: Final = BLOB
    fence: Final = None

    def __init__(self, number: int) -> None:
        self._blobs = layout.region(number, layout.BLOB)

    def plan(self, plan: Plan, change: RowChange) -> None:
        before = _blob_of(change.before)
        if before is not None and before != _blob_of(change.after):
            plan.delete_range(Range.prefix(self._blobs + before))


def _blob_of(stored: bytes | None) -> bytes | None:
    if stored is None or not stored[1] & BLOB:
        return None
    return reference_of(plain_value(stored)).id


def _pieces(value: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(value), size):
        yield value[at : at + size]


def _json(piece: bytes) -> bytes:
    """A text as itself, so that a person can read it; anything else in base64."""
    try:
        return msgspec.json.encode(piece.decode())
    except UnicodeDecodeError:
        return msgspec.json.encode({"base64": base64.b64encode(piece).decode()})


def _from_json(payload: bytes) -> bytes:
    found = msgspec.json.decode(payload, type=str | dict[str, str])
    if isinstance(found, str):
        return found.encode()
    return base64.b64decode(found["base64"], validate=True)
