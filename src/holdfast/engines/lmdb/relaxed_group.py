"""Batches decided on overlay and file, and written to the overlay alone.

The file does not change under them: the process has the writer's turn as long as the group is
open. Each batch is taken in by one step that readers and interrupts see whole or not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import lmdb

from holdfast.contract.batch import (
    Append,
    Batch,
    Delete,
    DeleteRange,
    Draft,
    Put,
    Receipt,
    Rewrite,
    append_key,
)
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.group import Group, Pending, Writer
from holdfast.engines.embedded.locking import let_go
from holdfast.engines.embedded.work import Work
from holdfast.engines.lmdb import batch_ids
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Layers, Overlay

#: How many rows a walk under a decision reads in one transaction of LMDB.
_WALK_ROWS = 1000


class OverlayGroup(Group):
    """The batches between the start of a turn and its end.

    Args:
        medium: the environment.
        clock: for the age of batch ids.
        head: the newest revision in the file.
        validate: raises for a batch that breaks a limit.
        lock: held while a batch is taken in, and by readers of more than one key.

    Attributes:
        layers: what lies over the file.
    """

    def __init__(
        self,
        medium: Medium,
        clock: Clock,
        head: int,
        validate: Callable[[Batch | Draft], None],
        lock: threading.RLock,
    ) -> None:
        self.layers = Layers(Overlay())
        self._medium = medium
        self._lock = lock
        # The batch that is being taken in: an interrupt may come when it is, and before that shows.
        self._taking: tuple[Work, int, dict[bytes, Pending], bytes | None] | None = None
        super().__init__(_OverlayWriter(self, medium, clock, head), validate)

    def run(self, work: Work) -> None:
        self._work = work
        super().run(work)

    def read(self, key: bytes) -> Record | None:
        pending = self.layers.find(key)
        if pending is not None:
            value, revision = pending
            return None if value is None else Record(value, revision)
        return self._medium.record(key)

    def settle_interrupted(self) -> None:
        """Give a batch its receipt that was taken in just before an interrupt."""
        if self._taking is None:
            return
        work, revision, rows, id = self._taking
        self._taking = None
        key = next(iter(rows), None)
        if key is not None and self.layers.newest.rows.get(key) is rows[key]:
            self.revision = max(self.revision, revision)
            self.layers.newest.head = self.revision
            if id is not None:
                self.layers.newest.ids[id] = revision
            if work.receipt is None:
                work.receipt = Receipt(revision)

    # --- Inside -----------------------------------------------------------------------------

    def _take(self, draft: Draft) -> Receipt:
        self._validate(draft)
        if draft.id is not None:
            known = self.writer.recall(draft.id)
            if known is not None:
                return Receipt(known)
        if draft.checks:
            self._check(Batch(draft.checks))
        if not draft.writes:
            return Receipt(self.revision)
        revision = self.revision + 1
        rows: dict[bytes, Pending] = {}
        for range in draft.ranges:
            rows.update((key, (None, revision)) for key, _ in self.writer.walk(range))
        size = 0
        for key, value in draft.rows.items():
            rows[key] = (value, revision)
            size += len(key) + (0 if value is None else len(value))
        for index, (prefix, value) in enumerate(draft.appends):
            rows[append_key(prefix, revision, index)] = (value, revision)
            size += len(prefix) + len(value)
        self._put(rows, revision, size, draft.id)
        return Receipt(revision)

    def _write(self, batch: Batch, revision: int) -> None:
        rows: dict[bytes, Pending] = {}
        appends = 0
        for operation in batch.operations:
            if isinstance(operation, Put):
                rows[operation.key] = (operation.value, revision)
            elif isinstance(operation, Append):
                rows[append_key(operation.prefix, revision, appends)] = (operation.value, revision)
                appends += 1
            elif isinstance(operation, Delete):
                rows[operation.key] = (None, revision)
            elif isinstance(operation, Rewrite):
                kept = self.read(operation.key)
                if kept is not None:
                    rows[operation.key] = (operation.value, kept.revision)
            elif isinstance(operation, DeleteRange):
                inside = [key for key in rows if key in operation.range]
                rows.update((key, (None, revision)) for key in inside)
                walk = self.writer.walk(operation.range)
                rows.update((key, (None, revision)) for key, _ in walk)
        size = sum(len(key) + len(value or b"") for key, (value, _) in rows.items())
        self._put(rows, revision, size, batch.id)

    def _put(self, rows: dict[bytes, Pending], revision: int, size: int, id: bytes | None) -> None:
        """Take rows in, in one step."""
        overlay = self.layers.newest
        self._taking = (self._work, revision, rows, id)
        lock = self._lock
        try:
            lock.acquire()
            overlay.update(rows)
            self.revision = overlay.head = revision
            lock.release()
        except BaseException:
            let_go(lock)
            raise
        overlay.bytes += size
        if id is not None:
            overlay.ids[id] = revision
        self.changed = True

    def push(self) -> None:
        """Nothing waits."""


class _OverlayWriter(Writer):
    """What a group asks of the file, with the overlays over it."""

    def __init__(self, group: OverlayGroup, medium: Medium, clock: Clock, head: int) -> None:
        self.head = head
        self._group = group
        self._medium = medium
        self._clock = clock

    def read(self, key: bytes) -> Record | None:
        return self._group.read(key)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        if range.empty:
            return
        layers = self._group.layers
        rest: Range | None = range
        while rest is not None:
            # In portions, so that no transaction stays open while its rows are looked at.
            rows, rest = self._portion(layers, rest)
            yield from rows

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self._group.layers.newest.update(dict(rows))

    def recall(self, id: bytes) -> int | None:
        layers = self._group.layers
        known = layers.newest.ids.get(id)
        if known is None and layers.older is not None:
            known = layers.older.ids.get(id)
        if known is not None:
            return known
        medium, now = self._medium, self._clock.now_ms()
        return medium.reading(
            lambda transaction: batch_ids.recall(transaction, medium.batches, id, now)
        )

    def remember(self, id: bytes, revision: int) -> None:
        """The group notes it with the rows."""

    def finish(self, head: int) -> None:
        """Nothing: what the overlay holds is flushed by its own thread."""

    def abandon(self) -> None:
        """Nothing is open."""

    def _portion(
        self, layers: Layers, range: Range
    ) -> tuple[list[tuple[bytes, Record]], Range | None]:
        def portion(
            transaction: lmdb.Transaction[bytes],
        ) -> tuple[list[tuple[bytes, Record]], Range | None]:
            below = self._medium.tree(transaction).walk_range(range)
            rows = list(islice(layers.over(range, below), _WALK_ROWS))
            return rows, range.after(rows[-1][0]) if len(rows) == _WALK_ROWS else None

        return self._medium.reading(portion)
