"""The stored form of an entry: a fixed header, what is seldom there, and the value's bytes.

    offset  bytes  field
    0       1      format of this layout (1)
    1       1      flags: what follows and how
    2       8      version of the entry, from 1
    10      4      incarnation, from 1
    14      8      created, milliseconds since 1970 UTC
    22      8      updated, likewise
    30      8      expires, likewise; 0: never
    38      32     SHA-256 of the value's deterministic MessagePack
    70      16     identity: the same through versions, deletes and renames
    86      2      length of the extras
    88      …      extras, MessagePack: author, comment, tags, schema; absent when all are empty
    …       …      payload: one byte that names serializer and compression, then the value

Everything up to the payload is read without decoding the value, and the expiry without decoding
anything. A record never holds its own revision: the engine keeps that.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec

from holdfast.contract.errors import DeserializationFailed, FormatTooNew, IntegrityFailed

FORMAT = 1
#: The value is not here: the payload is the reference of a blob.
BLOB = 0x01
#: The value of this past version was given up; who, when and what remain.
VALUE_GONE = 0x02
#: The entry expires.
EXPIRES = 0x04
#: The entry has tags.
TAGGED = 0x08
#: Every flag that this Holdfast knows.
FLAGS = BLOB | VALUE_GONE | EXPIRES | TAGGED

HEADER_BYTES = 88
EXTRAS_BYTES_MAX = 0xFFFF

_HEADER = struct.Struct(">BBQIqqq32s16sH")
assert _HEADER.size == HEADER_BYTES
_INSTANT = struct.Struct(">q")
_EXPIRES_AT = 30
_EXTRAS_LENGTH = struct.Struct(">H")
_EXTRAS_LENGTH_AT = 86


class Extras(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What only some entries have."""

    modified_by: str | int | None = None
    comment: str | None = None
    tags: tuple[str, ...] = ()
    schema_hash: str | None = None


class Header(NamedTuple):
    """The header's fields, instants in milliseconds."""

    format: int
    flags: int
    version: int
    incarnation: int
    created_at_ms: int
    updated_at_ms: int
    expires_at_ms: int
    digest: bytes
    identity: bytes
    extras_length: int


NO_EXTRAS = Extras()
_encode_extras = msgspec.msgpack.Encoder().encode
_decode_extras = msgspec.msgpack.Decoder(Extras).decode
_new_header: Any = tuple.__new__
#: The header alone, from its fields in their order: what `seal` begins with.
pack_header = _HEADER.pack
#: The fields of a header as they stand, unchecked; `header_of` checks them.
unpack_header = _HEADER.unpack_from


def seal(
    flags: int,
    version: int,
    incarnation: int,
    created_at_ms: int,
    updated_at_ms: int,
    expires_at_ms: int,
    digest: bytes,
    identity: bytes,
    extras: Extras,
    payload: bytes,
) -> bytes:
    """The stored bytes of an entry."""
    packed = b"" if extras is NO_EXTRAS or extras == NO_EXTRAS else _encode_extras(extras)
    if expires_at_ms:
        flags |= EXPIRES
    if extras.tags:
        flags |= TAGGED
    header = _HEADER.pack(
        FORMAT, flags, version, incarnation, created_at_ms, updated_at_ms, expires_at_ms,
        digest, identity, len(packed),
    )  # fmt: skip
    return header + packed + payload if packed else header + payload


def header_of(stored: bytes) -> Header:
    """The header of stored bytes.

    Raises:
        FormatTooNew: a later Holdfast wrote them.
        IntegrityFailed: they are no entry.
    """
    try:
        header: Header = _new_header(Header, _HEADER.unpack_from(stored))
    except struct.error as error:
        raise IntegrityFailed(
            f"a stored entry has at least {HEADER_BYTES} bytes; found {len(stored)}. "
            "Run `holdfast check` on the database"
        ) from error
    if not header[0]:
        raise IntegrityFailed(
            "a stored entry begins with its format, 1 or later; found 0. "
            "Run `holdfast check` on the database"
        )
    if header[0] != FORMAT:
        raise FormatTooNew(
            f"this Holdfast reads entries of format {FORMAT}; found format {header[0]}. "
            "Open the database with the version that wrote it, or a later one",
            found=header[0],
            supported=FORMAT,
        )
    if header[1] & ~FLAGS:
        raise FormatTooNew(
            f"this Holdfast knows the flags {FLAGS:#x} of an entry; found {header[1]:#x}. "
            "Open the database with the version that wrote it, or a later one",
            found=header[1],
            supported=FLAGS,
        )
    return header


def extras_of(stored: bytes, length: int) -> Extras:
    """The extras of stored bytes whose header names their length."""
    if not length:
        return NO_EXTRAS
    try:
        return _decode_extras(stored[HEADER_BYTES : HEADER_BYTES + length])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DeserializationFailed(
            "the author, comment, tags or schema of a stored entry cannot be read; "
            "run `holdfast check` on the database"
        ) from error


def payload_offset(stored: bytes) -> int:
    """Where the payload of stored bytes begins."""
    # Two bytes by hand: cheaper than unpacking, and on the path of every read.
    try:
        return HEADER_BYTES + (stored[_EXTRAS_LENGTH_AT] << 8) + stored[_EXTRAS_LENGTH_AT + 1]
    except IndexError:
        header_of(stored)  # Says that it is cut off.
        raise


def expires_at_ms(stored: bytes) -> int:
    """When stored bytes expire; 0: never."""
    if not stored[1] & EXPIRES:
        return 0
    expires: int = _INSTANT.unpack_from(stored, _EXPIRES_AT)[0]
    return expires


def without_payload(stored: bytes) -> bytes:
    """The same entry with its value given up."""
    kept = bytearray(stored[: payload_offset(stored)])
    kept[1] = (kept[1] | VALUE_GONE) & ~BLOB
    return bytes(kept)
