"""Keys, values and numbers of versions that a store takes."""

from __future__ import annotations

from typing import Final, NoReturn

from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue

#: The most bytes a key of a store can have.
KEY_BYTES_MAX: Final = 4000
#: The most bytes a value of a store can have.
VALUE_BYTES_MAX: Final = 128 * 1024 * 1024
#: The most bytes a value of a store of kind `iavl` can have: it stands in one row.
TREE_VALUE_BYTES_MAX: Final = 32 * 1024 * 1024


def checked_key(key: object) -> bytes:
    """A key as given. Raises InvalidKey."""
    if type(key) is not bytes:
        raise InvalidKey(f"a key of a store is bytes; found a {type(key).__name__}")
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise InvalidKey(
            f"a key of a store has 1 to {KEY_BYTES_MAX} bytes; found {len(key)}",
            limit=KEY_BYTES_MAX,
            found=len(key),
        )
    return key


def checked_value(value: object, limit: int) -> bytes:
    """A value as given, or a copy of what a buffer holds now. Raises InvalidValue."""
    if type(value) is bytes and len(value) <= limit:
        return value
    if not isinstance(value, bytearray | memoryview):
        _refuse_value(value, limit)
    return checked_value(bytes(value), limit)


def checked_version(version: object) -> int:
    """The number of a version as given, whether there is one or not. Raises InvalidInput."""
    if type(version) is not int:
        raise InvalidInput(
            f"a version is a whole number, as `list_versions` tells them; found a "
            f"{type(version).__name__}"
        )
    return version


def _refuse_value(value: object, limit: int) -> NoReturn:
    if not isinstance(value, bytes):
        raise InvalidValue(f"a value of a store is bytes; found a {type(value).__name__}")
    raise InvalidValue(
        f"a value of a store has at most {limit} bytes; found {len(value)}. Split it over keys",
        limit=limit,
        found=len(value),
    )
