"""Keys and values that a tree takes."""

from __future__ import annotations

from holdfast.contract.errors import InvalidKey, InvalidValue, ValueTooLarge

KEY_BYTES_MAX = 1 << 16
VALUE_BYTES_MAX = 1 << 30


def checked_key(key: object) -> bytes:
    """The key as bytes of our own. Raises InvalidKey."""
    if not isinstance(key, bytes | bytearray | memoryview):
        raise InvalidKey(f"a key is bytes; found a {type(key).__name__}")
    key = bytes(key)
    if not key:
        raise InvalidKey("a key has at least one byte; found an empty key")
    if len(key) > KEY_BYTES_MAX:
        raise InvalidKey(
            f"a key has at most {KEY_BYTES_MAX} bytes; found {len(key)}",
            limit=KEY_BYTES_MAX,
            found=len(key),
        )
    return key


def checked_value(value: object) -> bytes:
    """The value as bytes of our own. Raises InvalidValue or ValueTooLarge."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InvalidValue(f"a value is bytes; found a {type(value).__name__}")
    value = bytes(value)
    if len(value) > VALUE_BYTES_MAX:
        raise ValueTooLarge(
            f"a value has at most {VALUE_BYTES_MAX} bytes; found {len(value)}",
            limit=VALUE_BYTES_MAX,
            found=len(value),
        )
    return value
