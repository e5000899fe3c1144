r"""A backup file: frames, each with a checksum, and one checksum over all of them at its end.

    "holdfast backup\n"
    frame*     kind u8 | bytes u32 | crc32 of kind and body u32 | body     (big endian)

The first frame is the head. A layer frame begins the rows of one moment; row frames follow it, in
the order of keys; the end frame closes the file. A file without an end frame is the work of a
backup that was broken off: `taking.py` goes on with it, `restore` refuses it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Annotated, Any, Final

import msgspec

from holdfast.backups.places import shown
from holdfast.codecs.compression import compression_named
from holdfast.contract.errors import (
    ConfigInvalid,
    FormatTooNew,
    IntegrityFailed,
    InvalidInput,
    NotADatabase,
    StoreError,
)

MAGIC: Final = b"holdfast backup\n"
#: Of what stands in a backup file.
FORMAT: Final = 1
#: A frame of rows is written once it holds this many bytes.
FRAME_BYTES: Final = 1 << 20
#: No frame holds more: one row of the largest value, and what was gathered before it.
FRAME_BYTES_MAX: Final = 1 << 27
_HASHED_AT_ONCE: Final = 1 << 20

HEAD: Final = 1
LAYER: Final = 2
ROWS: Final = 3
END: Final = 4

_FRAME: Final = struct.Struct(">BII")
_encode = msgspec.msgpack.Encoder().encode

#: What an engine can count to, with room for what comes after it.
Revision = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
#: The milliseconds from 1970 to the years that a datetime knows.
Instant = Annotated[int, msgspec.Meta(ge=-62_135_596_800_000, lt=253_402_300_800_000)]
#: A key, the revision of its row, and its value; None: the backup before this one has it.
Item = tuple[bytes, Revision, bytes | None]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a backup is of.

    Attributes:
        format: of the file.
        id: of this backup, 32 hexadecimal digits.
        lineage: of the database.
        engine: which kept it.
        made_at_ms: when the backup began.
        compression: of the frames with rows.
        base: id of the backup that this one continues; None: it holds everything.
        since: revision of that backup, 0 without one.
    """

    format: int
    id: str
    lineage: str
    engine: str
    made_at_ms: Instant
    compression: str
    base: str | None = None
    since: Revision = 0


class _Number(msgspec.Struct, frozen=True, array_like=True):
    """The first field of every head."""

    number: int


class Layer(msgspec.Struct, frozen=True, array_like=True):
    """The rows of one moment. The last layer of a file speaks of every key of the database.

    Attributes:
        revision: of the moment.
        since: rows no newer than this are in the backup before this one.
        border: where the layer before this one was broken off.
        border_since: keys before the border: rows no newer than this are in that layer.
    """

    revision: Revision
    since: Revision = 0
    border: bytes = b""
    border_since: Revision = 0


class End(msgspec.Struct, frozen=True, array_like=True):
    """What closes a file.

    Attributes:
        revision: of the moment that the backup restores.
        rows: how many rows the database had then.
        written: how many of them this file holds.
        sha256: of everything before this frame.
    """

    revision: Revision
    rows: Annotated[int, msgspec.Meta(ge=0)]
    written: Annotated[int, msgspec.Meta(ge=0)]
    sha256: bytes


class FrameWriter:
    """Writes frames to a stream.

    Args:
        stream: binary, at the end of what stands there.
        digest: SHA-256 of what stands there already.
    """

    def __init__(self, stream: IO[bytes], digest: Any = None) -> None:
        self._stream = stream
        self._digest = hashlib.sha256() if digest is None else digest
        self.compression = compression_named("none")

    def head(self, head: Head) -> None:
        """Begin a file."""
        self.compression = compression_named(head.compression)
        self._put(MAGIC)
        self._frame(HEAD, _encode(head))

    def layer(self, layer: Layer) -> None:
        """Begin the rows of one moment."""
        self._frame(LAYER, _encode(layer))

    def rows(self, items: Sequence[Item]) -> None:
        """Write rows, which follow those written before in the order of keys."""
        self._frame(ROWS, self.compression.compress(_encode(items)))

    def end(self, revision: int, rows: int, written: int) -> None:
        """Close the file; the stream stays open."""
        self._frame(END, _encode(End(revision, rows, written, self._digest.digest())))

    def _frame(self, kind: int, body: bytes) -> None:
        crc = zlib.crc32(body, zlib.crc32(bytes([kind])))
        self._put(_FRAME.pack(kind, len(body), crc))
        self._put(body)

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            # A stream without a buffer may take a part, and one that does not block, nothing.
            taken = self._stream.write(rest)
            if taken is None or not 0 < taken <= len(rest):
                raise InvalidInput(
                    f"a backup goes to a stream that takes what it is given; found one that took "
                    f"{taken} of {len(rest)} bytes. Give one that blocks, and whose `write` says "
                    "how many bytes it took"
                )
            rest = rest[taken:]
        self._digest.update(data)


class FrameReader:
    """Reads a backup file.

    Args:
        stream: binary, at its beginning; it has to be seekable.
        name: of the file; errors show it without the secrets of a URL.

    Raises:
        NotADatabase: it is no backup file.
        FormatTooNew: a later Holdfast wrote it.
        IntegrityFailed: it is damaged.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self.name = shown(name)
        if _exactly(stream, len(MAGIC)) != MAGIC:
            raise NotADatabase(
                f"{self.name} is no backup of Holdfast; give a file that `backup` wrote"
            )
        self._number = 0
        kind, body = self.frame() or (0, b"")
        if kind != HEAD:
            raise self.damaged("it has no head")
        # The number first: what stands behind it is the business of that format.
        number = self.decode(body, _Number).number
        if number > FORMAT:
            raise FormatTooNew(
                f"this Holdfast reads backups of format {FORMAT}; {self.name} is of format "
                f"{number}. Restore it with the version that wrote it, or a later one",
                found=number,
                supported=FORMAT,
            )
        self.head: Head = self.decode(body, Head)
        try:
            self._compression = compression_named(self.head.compression)
        except ConfigInvalid as error:
            raise self.damaged("its rows are compressed in no way that is known") from error

    def frame(self) -> tuple[int, bytes] | None:
        """The next frame as (kind, body); None where the file ends. Raises IntegrityFailed."""
        start = _exactly(self._stream, _FRAME.size)
        if not start:
            return None
        self._number += 1
        if len(start) < _FRAME.size:
            raise self.damaged("it ends in the middle of a frame")
        kind, size, crc = _FRAME.unpack(start)
        if size > FRAME_BYTES_MAX:
            raise self.damaged("a frame says that it is larger than any is")
        body = _exactly(self._stream, size)
        if len(body) < size:
            raise self.damaged("it ends in the middle of a frame")
        if zlib.crc32(body, zlib.crc32(bytes([kind]))) != crc:
            raise self.damaged("its checksum does not match")
        return kind, body

    def tell(self) -> int:
        """Where the next frame begins."""
        return self._stream.tell()

    def seek(self, place: int) -> None:
        """Read on from a place that `tell` named."""
        self._stream.seek(place)

    def rows(self, body: bytes) -> list[Item]:
        """The rows of a frame. Raises IntegrityFailed."""
        try:
            packed = self._compression.decompress(body, FRAME_BYTES_MAX)
        except StoreError as error:
            raise self.damaged("rows cannot be unpacked") from error
        items: list[Item] = self.decode(packed, list[Item])
        return items

    def decode(self, body: bytes, kind: Any) -> Any:
        """What a body holds. Raises IntegrityFailed."""
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.damaged("what it says cannot be read") from error

    def sha256(self, until: int) -> Any:
        """A digest of everything before a place; the next frame read is the one there."""
        digest = hashlib.sha256()
        self._stream.seek(0)
        for piece in _pieces(self._stream, until):
            digest.update(piece)
        return digest

    def damaged(self, found: str) -> IntegrityFailed:
        """The error of a file that cannot be trusted."""
        return IntegrityFailed(
            f"the backup {self.name} is damaged: {found} (frame {self._number}). Use another copy "
            "of it, or an earlier backup"
        )


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """That many bytes, or fewer where the stream ends."""
    return b"".join(_pieces(stream, size))


def _pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, _HASHED_AT_ONCE))
        if not piece:
            return
        size -= len(piece)
        yield piece
