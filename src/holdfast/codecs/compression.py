"""Compression: five formats, each in the container that foreign tools read.

| name   | container                                   | read it with                      |
|--------|---------------------------------------------|-----------------------------------|
| none   | the bytes themselves                        |                                   |
| gzip   | RFC 1952, one member, no name, no time      | `gzip -dc`                        |
| lz4    | LZ4 frame, content size stated              | `lz4 -dc`                         |
| snappy | Snappy framing format (not raw blocks)      | `snzip -dc`, any framing decoder  |
| zstd   | Zstandard frame (RFC 8878), size stated     | `zstd -dc`                        |

Decompressing never yields more than the caller's `size_max`, whatever the bytes promise.
"""

from __future__ import annotations

import threading
import zlib
from abc import ABC, abstractmethod
from typing import Any, Literal, NoReturn

from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    DriverMissing,
    ValueTooLarge,
)

CompressionName = Literal["none", "gzip", "lz4", "snappy", "zstd"]
"""What a compression is called."""

VALUE_BYTES_MAX = 2**30
"""The largest value, in bytes before compression, that is packed or unpacked by default."""

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_GZIP_WINDOW = 31  # 15 bits of window, plus 16: the gzip container.
_STEP_BYTES = 2**20  # How much is decompressed at a time where the size is not stated.
_LZ4_RATIO_MAX = 255  # No byte of an LZ4 block stands for more than 255 bytes.
_ZSTD_SLICE_BYTES = 2**8
_SNAPPY_STREAM_IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"
_SNAPPY_COMPRESSED = 0x00
_SNAPPY_UNCOMPRESSED = 0x01
# The format lets a reader skip these. No writer makes them, and one flipped bit turns data into
# one, so here they are damage.
_SNAPPY_RESERVED_TO_SKIP = range(0x80, 0xFE)
_MORE_FOLLOWS = 0x80


class Compression(ABC):
    """One compressed format.

    Attributes:
        name: what a configuration calls it.
        code: what the header of stored bytes calls it, 0 to 14.
    """

    name: str
    code: int

    @abstractmethod
    def compress(self, data: bytes) -> bytes:
        """`data` in this format. Raises `DriverMissing` when its library is not installed."""

    @abstractmethod
    def decompress(self, data: bytes, size_max: int = VALUE_BYTES_MAX) -> bytes:
        """What was compressed into `data`, at most `size_max` bytes.

        Raises `ValueTooLarge` when it is more, `DeserializationFailed` when the bytes are damaged
        or of another format, `DriverMissing` when the library is not installed.
        """

    def _too_large(self, size_max: int) -> NoReturn:
        raise ValueTooLarge(
            f"wanted at most {size_max} bytes out of {self.name} data; found more; raise size_max "
            "if the source is trusted",
            size_max=size_max,
            compression=self.name,
        )

    def _malformed(self, found: object, cause: BaseException | None = None) -> NoReturn:
        raise DeserializationFailed(
            f"wanted {self.name} data; found bytes that are not ({found}); "
            "check that they are whole and written by Holdfast, then check the database",
            compression=self.name,
        ) from cause

    def _missing(self, package: str, error: ImportError) -> NoReturn:
        raise DriverMissing(
            f"{self.name} compression wanted the package {package}; found none; "
            "install it with: pip install 'holdfast-db[compression]'",
            extra="compression",
        ) from error


class NoCompression(Compression):
    """Bytes as they are."""

    name = "none"
    code = 0

    def compress(self, data: bytes) -> bytes:
        return data

    def decompress(self, data: bytes, size_max: int = VALUE_BYTES_MAX) -> bytes:
        if len(data) > size_max:
            self._too_large(size_max)
        return data


class GzipCompression(Compression):
    """gzip, level 6; the same data gives the same bytes (no time, no name in the header)."""

    name = "gzip"
    code = 1

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data, _GZIP_LEVEL, _GZIP_WINDOW)

    def decompress(self, data: bytes, size_max: int = VALUE_BYTES_MAX) -> bytes:
        members: list[bytes] = []
        room = size_max
        # A gzip file may have several members; RFC 1952 reads them as one.
        while data or not members:
            stream = zlib.decompressobj(_GZIP_WINDOW)
            try:
                member = stream.decompress(data, room + 1)
            except zlib.error as error:
                self._malformed(error, error)
            if len(member) > room:
                self._too_large(size_max)
            if not stream.eof:
                self._malformed("it ends too early")
            room -= len(member)
            members.append(member)
            data = stream.unused_data
        return members[0] if len(members) == 1 else b"".join(members)


class Lz4Compression(Compression):
    """LZ4 frames with the content size and a content checksum."""

    name = "lz4"
    code = 2

    def compress(self, data: bytes) -> bytes:
        packed: bytes = self._driver().compress(data, content_checksum=True)
        return packed

    def decompress(self, data: bytes, size_max: int = VALUE_BYTES_MAX) -> bytes:
        driver = self._driver()
        pieces: list[bytes] = []
        room = size_max
        try:
            stated = driver.get_frame_info(data)["content_size"]
            if stated > size_max:
                self._too_large(size_max)
            stream = driver.LZ4FrameDecompressor()
            # One call with room for what is stated, unless no frame of this length can hold it.
            step = min(stated, _LZ4_RATIO_MAX * len(data)) or _STEP_BYTES
            piece = stream.decompress(data, max_length=step)
            while True:
                room -= len(piece)
                if room < 0:
                    self._too_large(size_max)
                pieces.append(piece)
                if stream.eof or not piece:
                    break
                piece = stream.decompress(b"", max_length=step)
        except RuntimeError as error:
            self._malformed(error, error)
        if not stream.eof:
            self._malformed("it ends too early")
        if stream.unused_data:
            self._malformed("it goes on after its frame")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _driver(self) -> Any:
        try:
            import lz4.frame  # type: ignore[import-untyped]
        except ImportError as error:
            self._missing("lz4", error)
        return lz4.frame


class SnappyCompression(Compression):
    """The Snappy framing format: chunks of at most 64 KiB, each with its CRC-32C.

    The format has no end mark: data cut off exactly between two chunks reads as shorter data.
    Entries are safe from that, they carry the digest of their value.
    """

    name = "snappy"
    code = 3

    def compress(self, data: bytes) -> bytes:
        return bytes(self._driver().snappy.compress(data)) or _SNAPPY_STREAM_IDENTIFIER

    def decompress(self, data: bytes, size_max: int = VALUE_BYTES_MAX) -> bytes:
        driver = self._driver()
        if not data.startswith(_SNAPPY_STREAM_IDENTIFIER):
            self._malformed("it does not begin with the stream identifier")
        size = self._stated_size(data)
        if size > size_max:
            self._too_large(size_max)
        try:
            return bytes(driver.snappy.decompress(data, output_len=size))
        except driver.DecompressionError as error:
            self._malformed(error, error)

    def _stated_size(self, data: bytes) -> int:
        """The sum of what the chunks say they hold; the decoder holds each of them to it."""
        size = position = 0
        while position < len(data):
            kind = data[position]
            body = position + 4
            position = body + int.from_bytes(data[position + 1 : body], "little")
            if kind == _SNAPPY_COMPRESSED:
                # After the checksum: the size, seven bits to a byte, the lowest first.
                for index, byte in enumerate(data[body + 4 : body + 9]):
                    size += (byte & ~_MORE_FOLLOWS) << (7 * index)
                    if not byte & _MORE_FOLLOWS:
                        break
            elif kind == _SNAPPY_UNCOMPRESSED:
                size += position - body - 4
            elif kind in _SNAPPY_RESERVED_TO_SKIP:
                self._malformed("it has a chunk of a reserved kind")
        return size

    def _driver(self) -> Any:
        try:
            import cramjam
        except ImportError as error:
            self._missing("cramjam", error)
        return cramjam


class ZstdCompression(Compression):
    """Zstandard frames, level 3, with the content size and a content checksum.

    A compressor and a decompressor are made once per thread: making them costs more than a small
    value, and they must not be shared.
    """

    name = "zstd"
    code = 4

    def __init__(self) -> None:
        self._threads = threading.local()

    def compress(self, data: bytes) -> bytes:
        packed: bytes = self._contexts()[1].compress(data)
        return packed

    def decompress(self, data: bytes, size_max: int = VALUE_BYTES_MAX) -> bytes:
        driver, _, decompressor = self._contexts()
        try:
            stated = driver.frame_content_size(data)
            if stated > size_max:
                self._too_large(size_max)
            if stated > 0:
                # The library sets aside the stated size before it has seen any of it.
                whole: bytes = decompressor.decompress(data, allow_extra_data=False)
                return whole
            return self._decompress_unstated(decompressor.decompressobj(), data, size_max)
        except driver.ZstdError as error:
            self._malformed(error, error)

    def _decompress_unstated(self, stream: Any, data: bytes, size_max: int) -> bytes:
        pieces: list[bytes] = []
        room = size_max
        position = 0
        while position < len(data) and not stream.eof:
            # A few bytes can stand for 128 KiB, so a slice of input bounds the output of a step.
            pieces.append(stream.decompress(data[position : position + _ZSTD_SLICE_BYTES]))
            position += _ZSTD_SLICE_BYTES
            room -= len(pieces[-1])
            if room < 0:
                self._too_large(size_max)
        if not stream.eof:
            self._malformed("it ends too early")
        if stream.unused_data or position < len(data):
            self._malformed("it goes on after its frame")
        return b"".join(pieces)

    def _contexts(self) -> tuple[Any, Any, Any]:
        """The driver, and this thread's compressor and decompressor."""
        contexts: tuple[Any, Any, Any] | None = getattr(self._threads, "contexts", None)
        if contexts is None:
            try:
                import zstandard
            except ImportError as error:
                self._missing("zstandard", error)
            contexts = self._threads.contexts = (
                zstandard,
                zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True),
                zstandard.ZstdDecompressor(),
            )
        return contexts


NONE = NoCompression()
GZIP = GzipCompression()
LZ4 = Lz4Compression()
SNAPPY = SnappyCompression()
ZSTD = ZstdCompression()

COMPRESSIONS: tuple[Compression, ...] = (NONE, GZIP, LZ4, SNAPPY, ZSTD)
"""Every compression, in the order of their codes, which are 0 to 4."""

_BY_NAME = {compression.name: compression for compression in COMPRESSIONS}


def compression_named(name: str) -> Compression:
    """The compression of that name. Raises `ConfigInvalid` when there is none."""
    try:
        return _BY_NAME[name]
    except (KeyError, TypeError):
        raise ConfigInvalid(
            f"wanted a compression; found {name!r}; choose one of {', '.join(_BY_NAME)}",
            name=name,
        ) from None
