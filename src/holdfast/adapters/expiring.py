"""Values that know when they expire, as adapters keep them in a store, and keys of text.

A store ends a value by itself but does not tell when. Caches and sessions are asked for it, so the
instant stands in front of the value too: 8 bytes, milliseconds since 1970 UTC, 0: never.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from holdfast.contract.errors import IntegrityFailed, InvalidKey, InvalidValue
from holdfast.store.durations import ttl_milliseconds

_INSTANT_BYTES: Final = 8


class Kept(NamedTuple):
    """A value and its end.

    Attributes:
        value: as it was given.
        expires_at_ms: milliseconds since 1970 UTC; 0: never.
    """

    value: bytes
    expires_at_ms: int

    def remaining_s(self, now_ms: int) -> float | None:
        """Seconds until it ends, at least 0; None: it does not end."""
        return max(0, self.expires_at_ms - now_ms) / 1000 if self.expires_at_ms else None


def pack_kept(value: bytes, ttl_s: float | None, now_ms: int) -> bytes:
    """The bytes of a value that ends so many seconds from now; None: never. Raises InvalidInput."""
    expires_at_ms = 0 if ttl_s is None else now_ms + ttl_milliseconds(ttl_s)
    return expires_at_ms.to_bytes(_INSTANT_BYTES, "big") + value


def unpack_kept(stored: bytes) -> Kept:
    """What `pack_kept` packed. Raises IntegrityFailed."""
    if len(stored) < _INSTANT_BYTES:
        raise IntegrityFailed(
            f"a value of this adapter has at least {_INSTANT_BYTES} bytes; found {len(stored)}. "
            "Something else wrote into its store: give each its own"
        )
    return Kept(stored[_INSTANT_BYTES:], int.from_bytes(stored[:_INSTANT_BYTES], "big"))


def seconds_of(duration: float | timedelta | None) -> float | None:
    """A duration in seconds; None stays None."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def text_key(key: object) -> bytes:
    """The key of a store for a key of text. Raises InvalidKey."""
    if not isinstance(key, str):
        raise InvalidKey(f"a key is a str here; found a {type(key).__name__}")
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise InvalidKey(
            "a key is Unicode text; found a lone surrogate; normalise what you got the key from"
        ) from error


def text_value(value: str) -> bytes:
    """The bytes of a value of text. Raises InvalidValue."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            "a value is Unicode text; found a lone surrogate; give bytes, or decode with the right "
            "codec"
        ) from error
