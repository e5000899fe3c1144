"""The bytes of the journal: commits that are flushed and that LMDB's file may lack.

A header of one page, then two halves of equal size. A generation of records fills one half, the
next generation the other one, while the first is written to LMDB. Nothing is cleared in between:
a record counts only with the nonce that LMDB names (`facts.JournalFact`), or in the generation
that follows that one, so what earlier generations, copies and other databases left is not read.

    header   `holdfast journal` 16 | version u32 | crc32 u32 | bytes of a half u64 | name 16
    half 0   generations of even numbers, records one after the other
    half 1   generations of odd numbers

    record of one group of commits, padded to 8 bytes:
      0  `HFJ1`               4  crc32 of the record's place (u64) and bytes 8 to the padded end
      8  bytes of body u32   12  rows u32                16  ids u32
     20  generation u64      28  nonce 16                44  nonce of the generation before 16
     60  sequence u64        68  head before u64         76  head after u64
     84  body: rows, then ids of batches
    row   key bytes u32 | value bytes i32, -1: deleted | revision u64 | key | value
    id    bytes u16 | revision u64 | id

All numbers are little endian. Record 0 of a generation is empty.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.engines.embedded.group import Pending

NONCE_BYTES = 16
#: Where the first half begins.
HEADER_BYTES = 4096
_VERSION = 1
_MAGIC = b"holdfast journal"
_RECORD_MAGIC = b"HFJ1"
_HEADER = struct.Struct("<16sIIQ16s")
_RECORD = struct.Struct("<4sIIIIQ16s16sQQQ")
_PLACE = struct.Struct("<Q")
_ROW = struct.Struct("<IiQ")
_ID = struct.Struct("<HQ")
_COVERED = 8
_PADDED = 8
_PADDING = bytes(_PADDED)
_CRC = struct.Struct("<I")
_CRC_AT = 4
_make = tuple.__new__
RECORD_BYTES = _RECORD.size
#: Where in a record its nonce stands, and that of the generation before.
NONCE_AT, PREVIOUS_AT = 28, 44


class Header(NamedTuple):
    """The first page of a journal.

    Attributes:
        half: bytes of a half.
        name: tells journals apart (16).
    """

    half: int
    name: bytes

    def packed(self) -> bytes:
        """The bytes of the header."""
        body = _HEADER.pack(_MAGIC, _VERSION, 0, *self)
        return _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(body), *self)

    @property
    def size(self) -> int:
        """The size of the file."""
        return HEADER_BYTES + 2 * self.half

    def bounds(self, generation: int) -> tuple[int, int]:
        """Where the half of a generation begins and ends."""
        start = HEADER_BYTES + generation % 2 * self.half
        return start, start + self.half


class Record(NamedTuple):
    """One record, without its rows.

    Attributes:
        size: with the padding.
    """

    size: int
    rows: int
    ids: int
    generation: int
    nonce: bytes
    previous: bytes
    sequence: int
    before: int
    after: int


def read_header(content: bytes) -> Header | None:
    """The header that the file begins with; None: it is none."""
    if len(content) < _HEADER.size:
        return None
    header = Header(*_HEADER.unpack_from(content)[3:])
    sound = content[: _HEADER.size] == header.packed() and not header.half % HEADER_BYTES
    return header if sound and header.half else None


class Body(NamedTuple):
    """Rows and ids, packed.

    Attributes:
        parts: the bytes of the body, in pieces.
        size: of the record that they make, with its padding.
        rows, ids: how many of each.
    """

    parts: list[bytes]
    size: int
    rows: int
    ids: int


def pack(rows: Mapping[bytes, Pending], ids: Mapping[bytes, int]) -> Body:
    """The body of a record. Nothing is copied yet."""
    parts: list[bytes] = []
    pack_row = _ROW.pack
    size = RECORD_BYTES + _ROW.size * len(rows)
    for key, (value, revision) in rows.items():
        key_bytes = len(key)
        size += key_bytes
        if value is None:
            parts += (pack_row(key_bytes, -1, revision), key)
        else:
            value_bytes = len(value)
            size += value_bytes
            parts += (pack_row(key_bytes, value_bytes, revision), key, value)
    for id, revision in ids.items():
        size += _ID.size + len(id)
        parts += (_ID.pack(len(id), revision), id)
    padding = -size % _PADDED
    parts.append(_PADDING[:padding])
    return _make(Body, (parts, size + padding, len(rows), len(ids)))


def seal(
    body: Body,
    place: int,
    *,
    generation: int,
    nonce: bytes,
    previous: bytes,
    sequence: int,
    before: int,
    after: int,
) -> bytearray:
    """The record that will stand at the place in the file."""
    size = body.size - len(body.parts[-1]) - RECORD_BYTES
    head = _RECORD.pack(
        _RECORD_MAGIC, 0, size, body.rows, body.ids, generation, nonce, previous, sequence,
        before, after,
    )  # fmt: skip
    # Copied once, here; the sum goes into its place.
    record = bytearray().join((head, *body.parts))
    with memoryview(record) as whole:
        _CRC.pack_into(record, _CRC_AT, _crc(place, whole[_COVERED:]))
    return record


def read_record(content: bytes, place: int, end: int, *, base: int = 0) -> Record | None:
    """The sound record that stands at the place and ends before `end`, if there is one.

    Args:
        base: where in the file the content begins.
    """
    padded = padded_size(content, place - base)
    if place < HEADER_BYTES or not padded or place + padded > end:
        return None
    _, crc, _, *rest = _RECORD.unpack_from(content, place - base)
    covered = memoryview(content)[place - base + _COVERED : place - base + padded]
    return Record(padded, *rest) if _crc(place, covered) == crc else None


def padded_size(content: bytes, at: int) -> int:
    """The size of the record that seems to begin there; 0: none does."""
    if not 0 <= at <= len(content) - RECORD_BYTES:
        return 0
    magic, _, size = _RECORD.unpack_from(content, at)[:3]
    size += RECORD_BYTES
    return size + -size % _PADDED if magic == _RECORD_MAGIC else 0


def read_body(
    content: bytes, place: int, record: Record
) -> tuple[dict[bytes, Pending], dict[bytes, int]]:
    """The rows and ids of the sound record at the place."""
    rows: dict[bytes, Pending] = {}
    ids: dict[bytes, int] = {}
    at = place + RECORD_BYTES
    for _ in range(record.rows):
        key_bytes, value_bytes, revision = _ROW.unpack_from(content, at)
        at += _ROW.size
        key = content[at : at + key_bytes]
        at += key_bytes
        if value_bytes < 0:
            rows[key] = (None, revision)
        else:
            rows[key] = (content[at : at + value_bytes], revision)
            at += value_bytes
    for _ in range(record.ids):
        id_bytes, revision = _ID.unpack_from(content, at)
        at += _ID.size
        ids[content[at : at + id_bytes]] = revision
        at += id_bytes
    return rows, ids


def _crc(place: int, covered: bytes | memoryview) -> int:
    return zlib.crc32(covered, zlib.crc32(_PLACE.pack(place)))
