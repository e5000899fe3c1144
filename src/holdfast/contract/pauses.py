"""How long to rest before another try, so that those who lost together do not meet again."""

from __future__ import annotations

import zlib
from typing import Final

from holdfast.contract.runtime import Ids

#: A time is doubled no more often, however many tries have failed.
DOUBLINGS_MAX: Final = 32


def pause_s(ids: Ids, failed: int, shortest_s: float, longest_s: float) -> float:
    """A random part, from a half to all, of a time that doubles with each failure up to a bound.

    Args:
        ids: their bytes are the chance, so that a test with ids of its own repeats.
        failed: how many tries have failed, from 1.
        shortest_s: after the first, in seconds.
        longest_s: the bound, in seconds.
    """
    whole = min(shortest_s * 2.0 ** min(failed - 1, DOUBLINGS_MAX), longest_s)
    # Neighbouring identities differ by one; their checksums differ everywhere.
    return whole * (0.5 + zlib.crc32(ids.new()) / 2**33)
