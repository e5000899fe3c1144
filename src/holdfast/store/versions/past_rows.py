"""The past of an entry in bytes: rows of past versions, and graves of keys that are gone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from holdfast.codecs import envelope
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import THIS_COMMIT, Record
from holdfast.store.versions.entry import PastVersion, PendingRevision

#: How an incarnation ends.
END_DELETE = "delete"
END_EXPIRED = "expired"

#: What a past version's row begins with: its revision, and the length of how it ended.
PAST = struct.Struct(">QH")
#: In the place of the revision: a compaction wrote the row anew, and which commit ended the version
#: follows. Else that is the commit that wrote the row.
_ENDED_FOLLOWS = 1 << 63
_ENDED = struct.Struct(">Q")


class Grave(msgspec.Struct, frozen=True, array_like=True):
    """What a key that is gone will need when it comes back."""

    identity: bytes
    incarnation: int
    updated_at_ms: int


class End(msgspec.Struct, frozen=True, array_like=True):
    """How the last version of an incarnation ended."""

    cause: str
    at_ms: int
    modified_by: str | int | None = None
    comment: str | None = None


class PastParts(NamedTuple):
    """The parts of a past version's row: its revision, how it ended (packed), the entry."""

    revision: int
    end: bytes
    stored: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_grave = msgspec.msgpack.Decoder(Grave).decode
_decode_end = msgspec.msgpack.Decoder(End).decode


def _as_it_is(revision: int) -> int:
    return revision


def pack_grave(grave: Grave) -> bytes:
    """The row of a grave."""
    return _encode(grave)


def read_grave(record: Record) -> Grave:
    """The grave in a row."""
    try:
        return _decode_grave(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the row of a deleted key cannot be read; run `holdfast check`"
        ) from error


def pack_past(revision: int, stored: bytes, end: End | None) -> bytes:
    """The row of a past version, with how it ended unless another version took its place.

    A revision that is pending becomes 0: the version was written by the commit that ended it.
    """
    known = 0 if revision == THIS_COMMIT else revision
    if end is None:
        return PAST.pack(known, 0) + stored
    packed = _encode(end)
    return PAST.pack(known, len(packed)) + packed + stored


def past_parts(record: Record) -> PastParts:
    """The parts of a past version's row."""
    value = record.value
    try:
        revision, end_bytes = PAST.unpack_from(value)
    except struct.error as error:
        raise _unreadable() from error
    end_at = PAST.size
    if revision & _ENDED_FOLLOWS:
        revision ^= _ENDED_FOLLOWS
        end_at += _ENDED.size
    start = end_at + end_bytes
    return PastParts(revision or ended_at(record), value[end_at:start], value[start:])


def ended_at(record: Record) -> int:
    """The revision of the commit that ended the past version in a row."""
    if record.value[0] & 0x80:
        ended: int = _ENDED.unpack_from(record.value, PAST.size)[0]
        return ended
    return record.revision


def past_version(
    key: StoreKey | str,
    record: Record,
    revision_of: Callable[[int], int | PendingRevision] = _as_it_is,
) -> PastVersion[Any]:
    """The past version in a row; `revision_of` says what becomes of a revision."""
    revision, end, stored = past_parts(record)
    known = revision_of(revision)
    if not end:
        return PastVersion(key, stored, known, ended_at_revision=ended_at(record))
    try:
        how = _decode_end(end)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable() from error
    return PastVersion(
        key, stored, known, end_cause=how.cause, end_at_ms=how.at_ms,
        end_modified_by=how.modified_by, end_comment=how.comment,
        ended_at_revision=ended_at(record),
    )  # fmt: skip


def without_value(record: Record) -> bytes:
    """A past version's row with the value given up."""
    revision, end, stored = past_parts(record)
    packed = PAST.pack(revision | _ENDED_FOLLOWS, len(end)) + _ENDED.pack(ended_at(record))
    return packed + end + envelope.without_payload(stored)


def _unreadable() -> IntegrityFailed:
    return IntegrityFailed("a past version cannot be read; run `holdfast check`")
