"""A write transaction: rows gather in memory, and reach the driver as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.contract.record import Range, Record
from holdfast.engines.embedded.group import BATCH_ID_MS, Pending, Writer
from holdfast.engines.lsm import layout
from holdfast.engines.lsm.opened import Opened

#: How many rows a walk takes from the driver at once.
WALK_ROWS, WALK_BYTES = 500, 4 * 2**20


class LsmWriter(Writer):
    """Writes of one group.

    Args:
        opened: the database, ready to be written.
        now_ms: the instant, for ids of batches.
    """

    def __init__(self, opened: Opened, now_ms: int) -> None:
        self.head = opened.head
        self._opened = opened
        self._now_ms = now_ms
        self._rows: dict[bytes, Pending] = {}
        self._ids: dict[bytes, tuple[int, int]] = {}

    def read(self, key: bytes) -> Record | None:
        pending = self._rows.get(key)
        if pending is not None:
            value, revision = pending
            return None if value is None else Record(value, revision)
        found = self._opened.driver.get(layout.ROWS + key)
        return None if found is None else layout.record_of(found)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        own = sorted((key for key in self._rows if key in range), reverse=range.reverse)
        below = self._below(range)
        base = next(below, None)
        for key in own:
            while base is not None and (base[0] > key if range.reverse else base[0] < key):
                yield base
                base = next(below, None)
            if base is not None and base[0] == key:
                base = next(below, None)
            value, revision = self._rows[key]
            if value is not None:
                yield key, Record(value, revision)
        while base is not None:
            yield base
            base = next(below, None)

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self._rows.update(rows)

    def recall(self, id: bytes) -> int | None:
        known = self._ids.get(id) or self._opened.ids.get(id)
        if known is None or known[1] < self._now_ms - BATCH_ID_MS:
            return None
        return known[0]

    def remember(self, id: bytes, revision: int) -> None:
        self._ids[id] = (revision, self._now_ms)

    def finish(self, head: int) -> None:
        self._opened.commit(self._rows, self._ids, head, self._now_ms - BATCH_ID_MS)

    def abandon(self) -> None:
        """Nothing to undo: the driver has seen nothing yet."""

    def _below(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        """The rows of the range that the driver has, in pieces: nothing stays open in between."""
        rest: Range | None = range
        while rest is not None:
            start, end = layout.bounds(rest)
            found = self._opened.driver.rows(
                start, end, reverse=range.reverse, rows_max=WALK_ROWS, bytes_max=WALK_BYTES
            )
            for key, value in found.rows:
                yield key[1:], layout.record_of(value)
            rest = rest.after(found.rows[-1][0][1:]) if found.more else None
