"""A write transaction on a database in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.group import BATCH_ID_MS, Pending, Writer
from holdfast.engines.memory.state import Kept, State, make, shown


class MemoryWriter(Writer):
    """Writes in place, and knows how to undo it. Holds readers of several keys off meanwhile."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._undo: list[tuple[bytes, Kept | None]] = []
        self._ids: dict[bytes, tuple[int, float]] = {}
        self._open = True
        state.lock.acquire()
        self.head = state.head

    def read(self, key: bytes) -> Record | None:
        return shown(self._state.records.get(key))

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        for key, kept in self._state.walk(range):
            yield key, make(Record, kept)

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self._state.require_room([(key, value) for key, (value, _) in rows])
        put = self._state.put
        for key, (value, revision) in rows:
            record = None if value is None else (value, revision)
            # Noted first: an interrupt may come in between.
            self._undo.append((key, self._state.records.get(key)))
            put(key, record, revision)

    def recall(self, id: bytes) -> int | None:
        known = self._ids.get(id) or self._state.batch_ids.get(id)
        if known is None or known[1] < self._oldest():
            return None
        return known[0]

    def remember(self, id: bytes, revision: int) -> None:
        self._ids[id] = (revision, self._clock.monotonic())

    def finish(self, head: int) -> None:
        state = self._state
        if self._ids:
            ids, oldest = state.batch_ids, self._oldest()
            for id, known in self._ids.items():
                ids[id] = known
                ids.move_to_end(id)
            while ids and next(iter(ids.values()))[1] < oldest:
                ids.popitem(last=False)
        # Last, for from here on an interrupt leaves the group committed.
        state.head = head
        self._release()

    def abandon(self) -> None:
        if self._open:
            for key, before in reversed(self._undo):
                self._state.put(key, before, self.head)
            for id in self._ids:
                self._state.batch_ids.pop(id, None)
            self._release()

    def _oldest(self) -> float:
        """Since when ids are remembered."""
        return self._clock.monotonic() - BATCH_ID_MS / 1000

    def _release(self) -> None:
        self._open = False
        self._state.lock.release()
