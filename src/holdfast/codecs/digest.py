"""The digest of a value: SHA-256 over its deterministic MessagePack, however it is stored."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from holdfast.codecs.serializers import MESSAGE_PACK

DIGEST_BYTES = 32
"""The length of a digest."""


class Digest(msgspec.Struct, frozen=True, order=True):
    """A SHA-256 digest. `raw` is its 32 bytes."""

    raw: bytes

    @property
    def hex(self) -> str:
        """64 hexadecimal digits, lower case."""
        return self.raw.hex()

    @property
    def u32(self) -> int:
        """The first four bytes as a big-endian int: a short fingerprint, not an identity."""
        return int.from_bytes(self.raw[:4], "big")

    def __str__(self) -> str:
        return self.raw.hex()


def digest_bytes(data: bytes) -> Digest:
    """The digest of bytes that are deterministic MessagePack already, or of any other bytes."""
    return Digest(sha256(data).digest())


def data_hash(value: Any) -> str:
    """The `data_hash` that metadata gives of a value: its digest as 64 hexadecimal digits.

    Raises `SerializationFailed` for values that MessagePack does not hold.
    """
    return digest(value).hex


def digest(value: Any) -> Digest:
    """The digest of a value, the same in every process and whatever the order of its mappings.

    Values that differ in type differ in digest: 1, 1.0, True and "1" have four digests, and so
    have 0.0 and -0.0. Raises `SerializationFailed` for values that MessagePack does not hold.
    """
    return Digest(sha256(MESSAGE_PACK.encode(value)).digest())
