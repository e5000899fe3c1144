"""`AdaptiveSerializer`: JSON for what is small, MessagePack for what is large; both are read."""

from __future__ import annotations

from typing import Any

from holdfast.codecs.serializers import JSON, MESSAGE_PACK
from holdfast.contract.errors import DeserializationFailed, SerializationFailed

#: The first byte of the large form: no JSON text begins with it.
_LARGE = b"\xc1"
#: Up to so many bytes of JSON a value stays readable for people, unless told otherwise.
SMALL_BYTES = 1024


class AdaptiveSerializer:
    """Chooses by size, and says in the bytes which it was.

    Args:
        small_bytes: the largest JSON that stays JSON. What JSON cannot hold is MessagePack.
    """

    def __init__(self, small_bytes: int = SMALL_BYTES) -> None:
        self.small_bytes = small_bytes

    def encode(self, value: Any) -> bytes:
        """The bytes of a value."""
        try:
            text = JSON.encode(value)
            if len(text) <= self.small_bytes:
                return text
        except SerializationFailed:
            # Bytes and instants: the other format holds them, or says why not.
            pass
        return _LARGE + MESSAGE_PACK.encode(value)

    def decode(self, data: bytes) -> Any:
        """The value of bytes."""
        if not data:
            raise DeserializationFailed("wanted JSON or MessagePack; found no bytes")
        if data[:1] == _LARGE:
            return MESSAGE_PACK.decode(data[1:])
        return JSON.decode(data)
