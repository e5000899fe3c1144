"""Records as frames of MessagePack: smaller and faster than lines, for programs.

    magic (4)  length of the body (4)  CRC-32 of the body (4)  CRC-32 of these 12 bytes (4)  body

The body is an array that begins with the kind of the record. The head has a checksum of its own, so
that a damaged length is not taken for a file that ends too early; the magic lets a reader go on
behind a damaged frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import msgspec

from holdfast.engines.file.records import (
    CHUNK_BYTES,
    BatchId,
    Commit,
    Found,
    Header,
    Read,
    Record,
    Row,
    Unsound,
)

MAGIC = b"\xc1HF1"  # No MessagePack begins with the first of them.
_HEAD = struct.Struct(">4sII")
_CRC = struct.Struct(">I")
HEAD_BYTES = _HEAD.size + _CRC.size

_KINDS: dict[str, type[Record]] = {"r": Row, "i": BatchId, "c": Commit, "h": Header}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Frames:
    """One record, one frame."""

    suffix = ".msgpack"
    unit = "record"
    padding = b"\0"

    def encode(self, record: Record) -> bytes:
        body = _encode((_NAMES[type(record)], *record))
        head = _HEAD.pack(MAGIC, len(body), crc32(body))
        return head + _CRC.pack(crc32(head)) + body

    def row(self, stored: bytes) -> Row:
        _length(stored)
        record = _record(stored)
        if type(record) is not Row:
            raise Unsound("is not the row that was written there")
        return record

    def walk(
        self, read: Read, start: int, end: int, number: int = 1, *, values: bool = True
    ) -> Iterator[Found]:
        del values  # They come with the rest of the body.
        window = _Window(read, end)
        at = start
        while at < end:
            head = window.get(at, HEAD_BYTES)
            if len(head) < HEAD_BYTES:
                yield Found(at, end - at, number, Unsound("ends before its end"), cut=True)
                return
            try:
                length = HEAD_BYTES + _length(head)
            except Unsound as unsound:
                following = _next(window, at + 1, end)
                written = _written(window, at, following)
                if written == at and following == end:
                    return  # Nothing but padding.
                yield Found(at, max(written - at, HEAD_BYTES), number, unsound)
                at = following
                number += 1
                continue
            stored = window.get(at, length)
            if len(stored) < length:
                yield Found(at, end - at, number, Unsound("ends before its end"), cut=True)
                return
            yield Found(at, length, number, _examined(stored))
            at += length
            number += 1


class _Window:
    """A part of the file in memory, moved along as it is read."""

    def __init__(self, read: Read, end: int) -> None:
        self._read = read
        self._end = end
        self._at, self._bytes = 0, b""

    def get(self, at: int, length: int) -> bytes:
        """The bytes there; fewer where the file ends."""
        begin = at - self._at
        if begin < 0 or begin + length > len(self._bytes):
            self._at = at
            self._bytes = self._read(at, min(max(length, CHUNK_BYTES), self._end - at))
            begin = 0
        return self._bytes[begin : begin + length]


def _next(window: _Window, at: int, end: int) -> int:
    """Where the next sound head stands; the end where there is none."""
    while at < end:
        part = window.get(at, CHUNK_BYTES)
        found = part.find(MAGIC)
        if found < 0:
            if len(part) <= len(MAGIC):
                return end
            at += len(part) - len(MAGIC) + 1
            continue
        at += found
        try:
            _length(window.get(at, HEAD_BYTES))
        except Unsound:
            at += 1
            continue
        return at
    return end


def _written(window: _Window, at: int, end: int) -> int:
    """Where padding begins that reaches to the end."""
    written = at
    while at < end:
        part = window.get(at, min(CHUNK_BYTES, end - at))
        if not part:
            break
        filled = len(part.rstrip(Frames.padding))
        if filled:
            written = at + filled
        at += len(part)
    return written


def _length(stored: bytes) -> int:
    """The length of the body. Raises Unsound where the head is damaged."""
    if len(stored) < HEAD_BYTES:
        raise Unsound("ends before its end")
    magic, length, _ = _HEAD.unpack_from(stored)
    (crc,) = _CRC.unpack_from(stored, _HEAD.size)
    if magic != MAGIC or crc32(stored[: _HEAD.size]) != crc:
        raise Unsound("has a damaged head")
    return int(length)


def _examined(stored: bytes) -> Record | Unsound:
    try:
        return _record(stored)
    except Unsound as unsound:
        return unsound


def _record(stored: bytes) -> Record:
    body = stored[HEAD_BYTES:]
    if crc32(body) != _HEAD.unpack_from(stored)[2]:
        raise Unsound("does not match its checksum")
    try:
        kind, *said = _decode(body)
        return _KINDS[kind](*said)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise Unsound("is none that a segment holds") from None
