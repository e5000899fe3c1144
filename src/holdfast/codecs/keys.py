"""Keys: tuples turned into bytes that sort as the tuples do.

The one key encoding of Holdfast. It is injective (other tuple, other bytes) and keeps order, so
that a namespace, a prefix of a compound key or a span of numbers is one range of bytes.

    element        first byte        rest
    None           05
    number         09 .. 1d          size class and integer part, fraction, end, int or float
    str            20                UTF-8, 00 written 00 FF, end 00
    tuple          2c                its elements, end 00
    bytes          30                the bytes, 00 written 00 FF, end 00
    False, True    40, 41

Types sort in the order of this table. Numbers sort by value, whatever their type and size; where
an int and a float are equal the int comes first. Decoding gives back the very types. `-0.0` is
`0.0`, as it compares; NaN has no place in an order and is refused.
"""

from __future__ import annotations

import math

from holdfast.contract.errors import DeserializationFailed, InvalidKey
from holdfast.contract.record import Range

#: What a key may be made of.
Element = str | bytes | int | float | bool | None | tuple["Element", ...]

#: How deep tuples may nest in a key.
NESTING_MAX = 32

_END = b"\0"
_NONE = 0x05
_MINUS_INFINITY = 0x09
_ZERO = 0x13
_BIG_NEGATIVE = 0x0A
_BIG_POSITIVE = 0x1C
_PLUS_INFINITY = 0x1D
_STRING = 0x20
_TUPLE = 0x2C
_BYTES = 0x30
_FALSE = 0x40
_TRUE = 0x41

#: Integers of more bytes carry their length; fewer fit the first byte.
_SHORT_BYTES = 8
#: The first byte of each, by how many bytes follow.
_SHORT = [bytes((_ZERO + size,)) for size in range(_SHORT_BYTES + 1)]
#: Behind every number: the end of its fraction and its type.
_INT_END = b"\0\x01"
_FLOAT_END = b"\0\x02"


def pack(elements: tuple[Element, ...]) -> bytes:
    """The bytes of a key.

    Raises:
        InvalidKey: an element is of another type, is NaN, nests too deep, or is a str that UTF-8
            cannot hold (a lone surrogate).
    """
    return b"".join([_pack(element, 0) for element in elements])


def unpack(packed: bytes) -> tuple[Element, ...]:
    """The tuple that `pack` turned into these bytes.

    Raises:
        DeserializationFailed: they are not what `pack` writes.
    """
    elements = []
    position = 0
    try:
        while position < len(packed):
            element, position = _unpack(packed, position, 0)
            elements.append(element)
    except (IndexError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged(position) from error
    return tuple(elements)


def prefix_range(elements: tuple[Element, ...], *, reverse: bool = False) -> Range:
    """The range of the key `elements` and of all keys that begin with these elements."""
    packed = pack(elements)
    # No element begins with FF, and inside a str or bytes FF follows an end byte only where the
    # end byte is data: so FF ends exactly what continues this tuple.
    return Range(packed, packed + b"\xff", reverse) if packed else Range(reverse=reverse)


def pack_text(text: str) -> bytes:
    """The bytes of one str element; the hot path of entries."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidKey(
            f"a key holds text that UTF-8 can write; character {error.start} is a lone surrogate"
        ) from error
    if b"\0" in encoded:
        encoded = encoded.replace(b"\0", b"\0\xff")
    return b"\x20" + encoded + _END


def pack_whole(number: int) -> bytes:
    """The bytes of one int element, without those that tell its type; the hot path of indexes."""
    return _pack_whole(number) + _END


# --- Packing --------------------------------------------------------------------------------


def unpack_text(packed: bytes) -> str:
    """The text of a key that `pack_text` packed. Raises UnicodeDecodeError when it is none."""
    body = packed[1:-1]
    if b"\0" in body:
        body = body.replace(b"\0\xff", b"\0")
    return body.decode()


def _pack(element: Element, depth: int) -> bytes:
    if isinstance(element, str):
        return pack_text(element)
    if isinstance(element, bytes):
        return b"\x30" + element.replace(b"\0", b"\0\xff") + _END
    if element is None:
        return b"\x05"
    if element is True:
        return b"\x41"
    if element is False:
        return b"\x40"
    if isinstance(element, int):
        return _pack_whole(element) + _INT_END
    if isinstance(element, float):
        return _pack_float(element)
    if isinstance(element, tuple):
        if depth == NESTING_MAX:
            raise InvalidKey(f"tuples in a key nest at most {NESTING_MAX} deep; found more")
        return b"\x2c" + b"".join([_pack(part, depth + 1) for part in element]) + _END
    raise InvalidKey(
        "a key is made of str, bytes, int, float, bool, None and tuples of them; "
        f"found a {type(element).__name__}"
    )


def _pack_whole(number: int) -> bytes:
    size = (number.bit_length() + 7) // 8
    if number >= 0:
        magnitude = number.to_bytes(size, "big")
        if size <= _SHORT_BYTES:
            return _SHORT[size] + magnitude
        return bytes((_BIG_POSITIVE,)) + size.to_bytes(4, "big") + magnitude
    # Complemented, a larger magnitude sorts lower; so does a longer one.
    complement = (number + (1 << 8 * size) - 1).to_bytes(size, "big")
    if size <= _SHORT_BYTES:
        return bytes((_ZERO - size,)) + complement
    return bytes((_BIG_NEGATIVE,)) + (0xFFFFFFFF - size).to_bytes(4, "big") + complement


def _pack_float(number: float) -> bytes:
    if math.isnan(number):
        raise InvalidKey("a key cannot hold NaN: it has no place in an order. Use None instead")
    if math.isinf(number):
        return bytes((_PLUS_INFINITY if number > 0 else _MINUS_INFINITY,))
    numerator, denominator = number.as_integer_ratio()
    whole, rest = divmod(numerator, denominator)
    if not rest:
        return _pack_whole(whole) + _FLOAT_END
    bits = denominator.bit_length() - 1
    size = (bits + 7) // 8
    fraction = (rest << (8 * size - bits)).to_bytes(size, "big").rstrip(b"\0")
    return _pack_whole(whole) + fraction.replace(b"\0", b"\0\xff") + _FLOAT_END


# --- Unpacking ------------------------------------------------------------------------------


def _unpack(packed: bytes, position: int, depth: int) -> tuple[Element, int]:
    kind = packed[position]
    position += 1
    if kind == _STRING:
        raw, position = _unpack_escaped(packed, position)
        return raw.decode(), position
    if _MINUS_INFINITY <= kind <= _PLUS_INFINITY:
        number, end = _unpack_number(packed, position, kind)
        # Damage can spell a number in a way that `pack` does not.
        if _pack(number, 0) != packed[position - 1 : end]:
            raise _damaged(position)
        return number, end
    if kind == _BYTES:
        return _unpack_escaped(packed, position)
    if kind == _NONE:
        return None, position
    if kind in (_FALSE, _TRUE):
        return kind == _TRUE, position
    if kind == _TUPLE and depth < NESTING_MAX:
        parts = []
        while packed[position]:
            part, position = _unpack(packed, position, depth + 1)
            parts.append(part)
        return tuple(parts), position + 1
    raise _damaged(position - 1)


def _unpack_escaped(packed: bytes, position: int) -> tuple[bytes, int]:
    """The bytes up to the next 00 that is not followed by FF, and the position behind it."""
    start = position
    while True:
        end = packed.index(b"\0", position)
        if packed[end + 1 : end + 2] != b"\xff":
            return packed[start:end].replace(b"\0\xff", b"\0"), end + 1
        position = end + 2


def _unpack_number(packed: bytes, position: int, kind: int) -> tuple[int | float, int]:
    if kind in (_MINUS_INFINITY, _PLUS_INFINITY):
        return math.inf if kind == _PLUS_INFINITY else -math.inf, position
    size = abs(kind - _ZERO)
    if kind in (_BIG_POSITIVE, _BIG_NEGATIVE):
        size = int.from_bytes(packed[position : position + 4], "big")
        size = size if kind == _BIG_POSITIVE else 0xFFFFFFFF - size
        position += 4
    magnitude = packed[position : position + size]
    if len(magnitude) != size:
        raise _damaged(len(packed))
    position += size
    whole = int.from_bytes(magnitude, "big")
    if kind < _ZERO:
        whole -= (1 << 8 * size) - 1
    fraction, position = _unpack_escaped(packed, position)
    end = packed[position]
    position += 1
    if end == _INT_END[1] and not fraction:
        return whole, position
    if end != _FLOAT_END[1]:
        raise _damaged(position - 1)
    scale = 1 << 8 * len(fraction)
    return (whole * scale + int.from_bytes(fraction, "big")) / scale, position


def _damaged(position: int) -> DeserializationFailed:
    return DeserializationFailed(
        f"these bytes are no packed key: byte {position} does not fit. "
        "Only keys written by this encoding can be unpacked",
        position=position,
    )
