"""Arrays of small numbers as bytes: little-endian, so that the common machines read them as is."""

from __future__ import annotations

import sys
from array import array

#: The type codes of arrays of 2 and of 4 bytes a number.
SHORT = "H"
LONG = "I"

_BIG_ENDIAN = sys.byteorder == "big"


def unpack_array(code: str, value: bytes) -> array[int]:
    """The numbers that `pack_array` wrote."""
    numbers: array[int] = array(code, value)
    if _BIG_ENDIAN:
        numbers.byteswap()
    return numbers


def pack_array(numbers: array[int]) -> bytes:
    """The bytes of an array of either code."""
    if _BIG_ENDIAN:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
