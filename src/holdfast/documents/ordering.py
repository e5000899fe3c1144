"""Index keys: values of documents turned into bytes that sort as a query sorts the values.

The order across types, and the first byte of each (the bytes of `codecs/keys.py`, extended):

    null 05 < numbers 09 .. 1d < str 20 < object 28 < array 2c < bytes 30 < false 40 < true 41
    < datetime 48

A missing field sorts as null does; `entries.py` notes which it was.
A number loses the byte that tells int from float, so 1 and 1.0 are one key. An object is its
members by name, an array its elements, a datetime the microseconds of its instant. `entries.py`
makes index entries of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from holdfast.codecs.keys import pack, pack_text, pack_whole
from holdfast.contract.errors import InvalidKey, InvalidValue
from holdfast.documents.query.values import MISSING, microseconds

NULL = b"\x05"
_NUMBERS = (0x09, 0x1E)
_OBJECT = b"\x28"
_ARRAY = b"\x2c"
_BOOLEANS = (0x40, 0x42)
_DATETIME = b"\x48"

_END = b"\0"

# --- Values ---------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """The bytes of one value, whole. They sort as values do, and equal values have equal bytes.

    Raises:
        InvalidValue: the value, or a part of it, is NaN, a datetime without a zone, a str with a
            lone surrogate, a mapping with a name that is no str, or of a type that no document has.
    """
    kind = type(value)
    try:
        if kind is str:
            return pack_text(value)
        if kind is int:
            return pack_whole(value)
        scalar = _scalar(value)
        return scalar if scalar is not None else _encode_nested(value)
    except InvalidKey as error:
        raise InvalidValue(f"an index cannot hold this value: {error.message}") from error


def _scalar(value: Any) -> bytes | None:
    """The bytes of a value without parts; None for an array or object."""
    kind = type(value)
    if kind is str:
        return pack_text(value)
    if kind is int:
        return pack_whole(value)
    if isinstance(value, str):
        return pack_text(str.__str__(value))
    if value is None or isinstance(value, bool | bytes):
        return pack((value,))
    if isinstance(value, int):
        return pack_whole(int(value))
    if isinstance(value, float):
        packed = pack((value,))
        # Infinities have no byte for their type.
        return packed if math.isinf(value) else packed[:-1]
    if isinstance(value, datetime):
        return _encode_datetime(value)
    if value is MISSING:
        return NULL
    if isinstance(value, list | tuple | Mapping):
        return None
    raise InvalidValue(
        "an index holds None, bool, int, float, str, bytes, aware datetimes, and lists and "
        f"objects of these; found a {type(value).__name__}. Store it as one of them"
    )


def _encode_datetime(value: datetime) -> bytes:
    if value.utcoffset() is None:
        raise InvalidValue(
            "an index orders instants, and a datetime without a time zone is none; "
            "give it one, for example value.replace(tzinfo=UTC)"
        )
    return _DATETIME + pack_whole(microseconds(value))


def _encode_nested(value: Any) -> bytes:
    """An array or object. Not by recursion: documents may nest deeper than Python's stack."""
    parts: list[bytes] = []
    open_: list[Iterator[tuple[bytes, Any]]] = [iter(((b"", value),))]
    while open_:
        for name, part in open_[-1]:
            parts.append(name)
            scalar = _scalar(part)
            if scalar is not None:
                parts.append(scalar)
                continue
            parts.append(_OBJECT if isinstance(part, Mapping) else _ARRAY)
            open_.append(_members(part) if isinstance(part, Mapping) else _elements(part))
            break
        else:
            open_.pop()
            if open_:
                parts.append(_END)
    return b"".join(parts)


def _members(value: Mapping[Any, Any]) -> Iterator[tuple[bytes, Any]]:
    for name in value:
        if not isinstance(name, str):
            raise InvalidValue(
                f"the names in an object are str; found a {type(name).__name__}. Use str(name)"
            )
    return ((pack_text(name), value[name]) for name in sorted(value))


def _elements(value: Sequence[Any]) -> Iterator[tuple[bytes, Any]]:
    return ((b"", element) for element in value)


def bracket(encoded: bytes) -> tuple[int, int]:
    """The first bytes of all values that compare with this one: from, up to."""
    first = encoded[0]
    for types in (_NUMBERS, _BOOLEANS):
        if types[0] <= first < types[1]:
            return types
    return first, first + 1
