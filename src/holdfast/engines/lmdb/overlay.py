"""Writes that are acknowledged and not yet flushed, laid over what the file holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sortedcontainers import SortedList

from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.group import Pending, Writer
from holdfast.engines.lmdb import batch_ids, facts
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.records import unpack

Row = tuple[bytes, Record]


class Overlay:
    """The newest write of each key, in memory.

    Attributes:
        rows: by key; a value of None hides what the file holds.
        bytes: how much was written into it.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, Pending] = {}
        self.bytes = 0
        self._order: SortedList[Any] | None = None
        self._unordered: set[bytes] = set()

    def update(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        """Take rows in; later ones win."""
        for key, pending in rows:
            if key not in self.rows:
                self._unordered.add(key)
            self.rows[key] = pending
            self.bytes += len(key) + len(pending[0] or b"")

    def over(self, range: Range, below: Iterator[Row]) -> Iterator[Row]:
        """The rows of the range: what lies below, with these over it."""
        reverse = range.reverse
        base = next(below, None)
        for key in self._keys(range):
            while base is not None and (base[0] > key if reverse else base[0] < key):
                yield base
                base = next(below, None)
            if base is not None and base[0] == key:
                base = next(below, None)
            value, revision = self.rows[key]
            if value is not None:
                yield key, Record(value, revision)
        if base is not None:
            yield base
            yield from below

    def _keys(self, range: Range) -> Iterator[bytes]:
        # Sorted on the first walk only: most flushes never see one.
        if self._order is None:
            self._order = SortedList(self.rows)
        elif self._unordered:
            self._order.update(self._unordered)
        self._unordered.clear()
        keys: Iterator[bytes] = self._order.irange(
            range.start, range.end, inclusive=(True, False), reverse=range.reverse
        )
        return keys


class OverlayWriter(Writer):
    """Decides batches on overlay and file, and writes to the overlay alone.

    The file does not change meanwhile: the thread that flushes holds its writer lock.
    """

    def __init__(self, medium: Medium, clock: Clock, overlay: Overlay) -> None:
        self.ids: dict[bytes, int] = {}
        self._medium = medium
        self._clock = clock
        self._overlay = overlay
        self._base = medium.begin_read()
        self._tree = medium.tree(self._base)
        self.head = facts.read_head(self._base).revision

    def read(self, key: bytes) -> Record | None:
        pending = self._overlay.rows.get(key)
        if pending is not None:
            value, revision = pending
            return None if value is None else Record(value, revision)
        stored = self._tree.get(key)
        return None if stored is None else unpack(stored)

    def walk(self, range: Range) -> Iterator[Row]:
        if range.empty:
            return iter(())
        return self._overlay.over(range, self._tree.walk_range(range))

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self._overlay.update(rows)

    def recall(self, id: bytes) -> int | None:
        known = self.ids.get(id)
        if known is not None:
            return known
        return batch_ids.recall(self._base, self._medium.batches, id, self._clock.now_ms())

    def remember(self, id: bytes, revision: int) -> None:
        self.ids[id] = revision

    def finish(self, head: int) -> None:
        """Nothing: what the overlay holds is flushed by its own thread."""

    def abandon(self) -> None:
        """Let go of the file."""
        self._base.abort()
        del self._base, self._tree
