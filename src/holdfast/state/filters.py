"""Bloom filters: how large one is for its error rate, and where an item has its bits.

A filter is made of blocks of 4096 bits, and all bits of an item lie in one block, so that a change
reads and writes one row. Blocks fill unevenly, which costs a little accuracy; the size makes up for
it: it is reckoned with the distribution of items over blocks, not with their mean.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Final

from holdfast.contract.errors import InvalidInput, InvalidValue, KeyNotFound
from holdfast.state.adapter import FilterShape
from holdfast.state.checks import found, whole

BLOCK_BITS: Final = 4096
BLOCK_BYTES: Final = BLOCK_BITS // 8
#: The error rates that can be asked for. The least one takes twenty bits of a digest.
RATE_MIN: Final = 1e-6
RATE_MAX: Final = 0.5
HASHES_MAX: Final = 20
#: What one filter takes at most.
FILTER_BYTES_MAX: Final = 128 * 1024 * 1024
#: Items that one call adds or looks for at most.
FILTER_ITEMS_MAX: Final = 1000
#: Bytes of a digest: six for the block, two for each bit.
_BLOCK_DIGITS: Final = 6
DIGEST_BYTES: Final = _BLOCK_DIGITS + 2 * HASHES_MAX
#: Filters are made for so much of the stated rate: what the reckoning leaves out is less than that.
_AIM: Final = 0.9
#: The widest part of the distribution that is looked at, in its deviations.
_DEVIATIONS: Final = 9


def shape_of(capacity: int, error_rate: float) -> FilterShape:
    """The least filter that keeps to the rate while it holds no more than its capacity.

    Raises:
        InvalidInput: the rate or the size is out of range.
    """
    whole("capacity", capacity, 1, FILTER_BYTES_MAX * 8)
    if isinstance(error_rate, bool) or not isinstance(error_rate, int | float):
        raise InvalidInput(f"error_rate is a number; found a {type(error_rate).__name__}")
    if not RATE_MIN <= error_rate <= RATE_MAX:
        raise InvalidInput(
            f"error_rate lies from {RATE_MIN:f} to {RATE_MAX}; found {found(error_rate)}. 0.01: "
            "one of a hundred items that were never added is taken for one that was"
        )
    return _shape(int(capacity), float(error_rate))


@lru_cache(maxsize=256)
def _shape(capacity: int, error_rate: float) -> FilterShape:
    hashes = math.ceil(-math.log2(error_rate))
    # The most items for each block on the average; a single block has no average.
    low, high = 0, BLOCK_BITS
    while low < high:
        middle = (low + high + 1) // 2
        if _rate(middle, hashes) <= error_rate * _AIM:
            low = middle
        else:
            high = middle - 1
    blocks = math.ceil(capacity / low)
    if blocks * BLOCK_BYTES > FILTER_BYTES_MAX:
        raise InvalidInput(
            f"a filter takes at most {FILTER_BYTES_MAX} bytes; this one would take "
            f"{blocks * BLOCK_BYTES}. Choose a higher error rate, or divide the items among filters"
        )
    return FilterShape(capacity, error_rate, blocks, hashes)


def _rate(items: int, hashes: int) -> float:
    """The share of strangers that are taken for members, with so many items for each block."""
    spread = _DEVIATIONS * math.sqrt(items) + _DEVIATIONS
    low, high = max(0, math.floor(items - spread)), math.ceil(items + spread)
    zero = math.log1p(-1 / BLOCK_BITS)
    total = 0.0
    for count in range(low, high + 1):
        likely = math.exp(count * math.log(items) - items - math.lgamma(count + 1))
        total += likely * (1 - math.exp(zero * hashes * count)) ** hashes
    return total


def digest_of(item: str | bytes) -> bytes:
    """What a filter knows of an item; a text is its bytes in UTF-8.

    Raises:
        InvalidInput: it is neither text nor bytes, or a text that UTF-8 cannot write.
    """
    if isinstance(item, str):
        try:
            item = item.encode()
        except UnicodeEncodeError:
            raise InvalidInput("an item is a text that UTF-8 can write; found another") from None
    elif not isinstance(item, bytes):
        raise InvalidInput(f"an item is a text or bytes; found a {type(item).__name__}")
    return hashlib.blake2b(item, digest_size=DIGEST_BYTES).digest()


def block_of(digest: bytes, shape: FilterShape) -> int:
    """The block that has the item's bits."""
    return int.from_bytes(digest[:_BLOCK_DIGITS], "big") % shape.blocks


def bits_of(digest: bytes, shape: FilterShape) -> list[int]:
    """The item's bits in its block; bit 0 is the highest of the first byte."""
    end = _BLOCK_DIGITS + 2 * shape.hashes
    return [
        int.from_bytes(digest[at : at + 2], "big") % BLOCK_BITS
        for at in range(_BLOCK_DIGITS, end, 2)
    ]


def has_bits(block: bytes | bytearray, bits: list[int]) -> bool:
    """Whether all of them are set."""
    return all(block[bit >> 3] & (0x80 >> (bit & 7)) for bit in bits)


def set_bits(block: bytearray, bits: list[int]) -> None:
    """Set them."""
    for bit in bits:
        block[bit >> 3] |= 0x80 >> (bit & 7)


def no_filter() -> KeyNotFound:
    """The error where a filter was wanted."""
    return KeyNotFound("there is no such filter, or its time is over; call create() first")


def no_filter_but() -> InvalidValue:
    """The error where something else stands."""
    return InvalidValue("another kind of value stands there; choose another key")
