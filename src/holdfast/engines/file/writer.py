"""A write transaction on the journal: rows gather in memory, and are written as one commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from holdfast.contract.errors import StoreError
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.file_failures import full
from holdfast.engines.embedded.group import BATCH_ID_MS, Pending, Writer
from holdfast.engines.file.cache import Cached
from holdfast.engines.file.index import Kept, place_of
from holdfast.engines.file.journal import Journal
from holdfast.engines.file.published import Published
from holdfast.engines.file.reading import Reader
from holdfast.engines.file.records import BatchId, Commit, Row

#: How much is gathered before it is written; the flush comes with the end alone.
GATHERED_BYTES_MAX = 4 * 2**20
#: A write that deletes something and takes no more than this may use the reserve of a full medium.
RESERVE_BYTES_MAX = 64 * 1024
#: How many more forgotten ids than new ones a commit clears away.
CLEARED_MAX = 16


class FileWriter(Writer):
    """Writes of one group.

    Args:
        journal: ready, with room in its active segment.
        reader: of what stands there.
        clock: for the age of batch ids.
        flush: whether the commit is flushed before it is made.

    Attributes:
        deletes: some row was deleted.
        bytes: how much it writes.
    """

    def __init__(self, journal: Journal, reader: Reader, clock: Clock, *, flush: bool) -> None:
        self.head = journal.index.head
        self.deletes = False
        self.bytes = 0
        self._journal = journal
        self._reader = reader
        self._clock = clock
        self._flush = flush
        self._active = journal.active
        self._encode = journal.active.format.encode
        self._rows: dict[bytes, Pending] = {}
        self._places: dict[bytes, Kept | None] = {}
        self._ids: dict[bytes, tuple[int, int, int]] = {}
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._written_to = self._at = self._active.size
        self._count = 0

    def read(self, key: bytes) -> Record | None:
        pending = self._rows.get(key)
        if pending is not None:
            value, revision = pending
            return None if value is None else Record(value, revision)
        found = self._reader.newest(key)
        return None if found is None else Record(*found)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        own = sorted((key for key in self._rows if key in range), reverse=range.reverse)
        below = self._journal.index.walk(range)
        base = next(below, None)
        for key in own:
            while base is not None and (base[0] > key if range.reverse else base[0] < key):
                yield base[0], self._reader.record(*base)
                base = next(below, None)
            if base is not None and base[0] == key:
                base = next(below, None)
            value, revision = self._rows[key]
            if value is not None:
                yield key, Record(value, revision)
        while base is not None:
            yield base[0], self._reader.record(*base)
            base = next(below, None)

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        segment, encode = self._active.number, self._encode
        for key, pending in rows:
            value, revision = pending
            if value is None:
                self.deletes = True
                if key not in self._rows and key not in self._journal.index.records:
                    continue  # Nothing stands there.
            data = encode(Row(key, revision, value))
            at = self._append(data)
            self._places[key] = (
                None if value is None else (place_of(segment, at, len(data)), revision)
            )
            self._rows[key] = pending

    def recall(self, id: bytes) -> int | None:
        known = self._ids.get(id) or self._journal.index.batch_ids.get(id)
        if known is None or known[1] < self._clock.now_ms() - BATCH_ID_MS:
            return None
        return known[0]

    def remember(self, id: bytes, revision: int) -> None:
        now_ms = self._clock.now_ms()
        self._append(self._encode(BatchId(id, revision, now_ms)))
        self._ids[id] = (revision, now_ms, self._active.number)

    def finish(self, head: int) -> None:
        journal = self._journal
        if journal.scarce and not (self.deletes and self.bytes <= RESERVE_BYTES_MAX):
            raise full(journal.place.directory, "what is kept aside is for deletes")
        self._append(self._encode(Commit(head, self.head, self._count)))
        self._write()
        values: dict[bytes, Cached] = {
            key: (value, revision)
            for key, (value, revision) in self._rows.items()
            if value is not None
        }
        rows = [(key, kept, self._rows[key][1]) for key, kept in self._places.items()]
        self._journal.commit(Published(rows, values, self._ids, head, self._at), flush=self._flush)
        self._forget_ids()

    def abandon(self) -> None:
        self._gathered.clear()
        with suppress(StoreError):  # The next commit tries again, and tells it.
            self._journal.cut()

    # --- Inside -----------------------------------------------------------------------------

    def _append(self, data: bytes) -> int:
        """Gather a record; where it will stand."""
        at = self._at
        self._gathered.append(data)
        self._at += len(data)
        self.bytes += len(data)
        self._gathered_bytes += len(data)
        self._count += 1
        if self._gathered_bytes > GATHERED_BYTES_MAX:
            self._write()
        return at

    def _write(self) -> None:
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_bytes = 0
        self._journal.write(self._written_to, data)
        self._written_to += len(data)

    def _forget_ids(self) -> None:
        ids = self._journal.index.batch_ids
        oldest = self._clock.now_ms() - BATCH_ID_MS
        for _ in range(CLEARED_MAX + len(self._ids)):
            first = next(iter(ids.items()), None)
            if first is None or first[1][1] >= oldest:
                return
            del ids[first[0]]
