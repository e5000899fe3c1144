"""Which change of the feed is which row of the log.

S audit n block      the places in the feed of 16 rows: revision u64, index u32 each
S audit sealed       up to which revision the feed is sealed, and the places behind the last
whole block
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.contract.errors import IntegrityFailed
from holdfast.store import layout
from holdfast.stores.iavl.rows import Rows
from holdfast.stores.merkle.log import BLOCK_HEIGHT, BLOCK_ROWS

PLACE_BYTES: Final = 12
SEALED: Final = b"sealed"
_PLACES: Final = b"n"


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """How far the feed is sealed.

    Attributes:
        revision: of the last commit whose changes are sealed; 0: nothing is.
        size: how many changes are.
        tail: the places of those behind the last whole block.
        skipped: how many times changes were given up before anybody sealed them.
    """

    revision: int = 0
    size: int = 0
    tail: tuple[bytes, ...] = ()
    skipped: int = 0


class Place(msgspec.Struct, frozen=True):
    """Where a change stands in the feed."""

    revision: int
    index: int

    @classmethod
    def of(cls, packed: bytes) -> Place:
        """The place in 12 bytes."""
        return cls(int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big"))

    @property
    def packed(self) -> bytes:
        """The place in 12 bytes, which sort as places do."""
        return self.revision.to_bytes(8, "big") + self.index.to_bytes(4, "big")


def read_sealed(row: bytes | None) -> Sealed:
    """How far the feed is sealed, from its row. Raises IntegrityFailed."""
    if row is None:
        return Sealed()
    try:
        return msgspec.msgpack.decode(row, type=Sealed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the row that says how far the feed is sealed cannot be read. Seal the feed anew"
        ) from error


def feed_key(packed: bytes) -> bytes:
    """The key of the change at a place."""
    return layout.FEED + packed


class Places:
    """The places of sealed changes.

    Args:
        rows: of the log.
        sealed: how far the feed is sealed.
    """

    def __init__(self, rows: Rows, sealed: Sealed) -> None:
        self._rows = rows
        self.sealed = sealed

    def block(self, number: int) -> list[bytes]:
        """The places of a block of rows. Raises IntegrityFailed."""
        if number == self.sealed.size >> BLOCK_HEIGHT:
            return list(self.sealed.tail)
        row = self._rows.get(block_key(number))
        if row is None or len(row) != BLOCK_ROWS * PLACE_BYTES:
            raise IntegrityFailed(
                f"the places of changes {number * BLOCK_ROWS} to {number * BLOCK_ROWS + 15} of the "
                "feed are missing or damaged. Seal the feed anew"
            )
        return [row[at : at + PLACE_BYTES] for at in range(0, len(row), PLACE_BYTES)]

    def find(self, packed: bytes) -> int | None:
        """The number of the row of a change, or None when it is not sealed."""
        low, high = 0, -(-self.sealed.size // BLOCK_ROWS)
        while low < high:
            middle = (low + high) // 2
            places = self.block(middle)
            if places[0] <= packed <= places[-1]:
                if packed in places:
                    return middle * BLOCK_ROWS + places.index(packed)
                return None
            if packed < places[0]:
                high = middle
            else:
                low = middle + 1
        return None

    def extended(
        self, places: Sequence[bytes], revision: int, skipped: int
    ) -> tuple[Sealed, list[tuple[bytes, bytes]]]:
        """How far the feed is sealed with some more changes, and the rows that say so."""
        tail = [*self.sealed.tail, *places]
        number = self.sealed.size >> BLOCK_HEIGHT
        puts = []
        while len(tail) >= BLOCK_ROWS:
            puts.append((block_key(number), b"".join(tail[:BLOCK_ROWS])))
            tail = tail[BLOCK_ROWS:]
            number += 1
        size = self.sealed.size + len(places)
        sealed = Sealed(revision, size, tuple(tail), self.sealed.skipped + skipped)
        puts.append((SEALED, msgspec.msgpack.encode(sealed)))
        return sealed, puts


def block_key(number: int) -> bytes:
    """The key of the row with the places of a block."""
    return _PLACES + number.to_bytes(8, "big")
