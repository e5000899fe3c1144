"""Compaction: the oldest segment's living rows are written again at the end, and it goes.

Always the oldest, because nothing that an older one holds could come back to life then: deletions
go with the segment that they stand in. Each step is short and leaves a journal that says the same:
rows written again are the same rows, and a segment goes only once they are flushed. What fits is
bounded: when more than half of the journal is dead, a round writes at most as much as it frees.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from holdfast.contract.errors import StoreError
from holdfast.engines.embedded.group import BATCH_ID_MS
from holdfast.engines.file.failures import damaged
from holdfast.engines.file.index import Kept, place_of
from holdfast.engines.file.journal import Journal
from holdfast.engines.file.published import Published
from holdfast.engines.file.records import BatchId, Commit, Row, Unsound
from holdfast.engines.file.segment import Segment, where

#: How much a step reads, and writes, at most (a single row may be larger). A commit waits for it.
STEP_BYTES = 256 * 2**10
#: How much of a journal may be dead for each byte that is not.
DEAD_SHARE_MAX = 1.0
#: A journal with less dead than this is left alone.
DEAD_BYTES_MIN = 4 * 2**20


class Compaction:
    """Where compaction stands.

    Args:
        journal: of the database.
        now_ms: the clock, for the age of batch ids.
    """

    def __init__(self, journal: Journal, now_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._now_ms = now_ms
        self._number = 0
        self._at, self._records = 0, 1

    @property
    def due(self) -> bool:
        """Whether more than half of the journal is dead."""
        most = max(self._journal.live * DEAD_SHARE_MAX, DEAD_BYTES_MIN)
        return self._journal.dead > most

    def step(self) -> bool:
        """Do a little; whether the oldest segment went with it. No group runs meanwhile.

        Raises:
            StorageFull: there is no room for the rows; nothing was changed.
            IntegrityFailed: the segment is damaged, and stays.
        """
        journal = self._journal
        journal.ready()
        if len(journal.segments) == 1:
            journal.roll()
        journal.roll_if_full()
        number, oldest = next(iter(journal.segments.items()))
        if number != self._number:
            self._number, self._at, self._records = number, 0, 1
        rows, at, records = self._living(oldest)
        ends = at >= oldest.size
        ids = self._young_ids(number) if ends else {}
        if rows or ids:
            self._write(oldest, rows, ids)
        if ends:
            journal.remove_oldest()
        self._at, self._records = at, records
        return ends

    # --- Inside -----------------------------------------------------------------------------

    def _living(self, segment: Segment) -> tuple[list[tuple[bytes, int, int, int]], int, int]:
        """The rows of this step (key, revision, at, length), and where the next one begins."""
        records = self._journal.index.records
        rows: list[tuple[bytes, int, int, int]] = []
        at, number = self._at, self._records
        begin, living = at, 0
        for found in segment.format.walk(segment.read, at, segment.size, number):
            row = found.record
            if isinstance(row, Unsound):
                raise damaged(segment.path, f"{where(segment, found.at)} {row.why}")
            if type(row) is Row and row.value is not None:
                kept = (place_of(segment.number, found.at, found.length), row.revision)
                if records.get(row.key) == kept:
                    rows.append((row.key, row.revision, found.at, found.length))
                    living += found.length
            at, number = found.at + found.length, found.number + 1
            if living >= STEP_BYTES or at - begin >= STEP_BYTES:
                return rows, at, number
        return rows, segment.size, number

    def _young_ids(self, number: int) -> dict[bytes, tuple[int, int, int]]:
        """The ids of batches that the segment alone remembers."""
        oldest = self._now_ms() - BATCH_ID_MS
        active = self._journal.active.number
        return {
            id: (revision, at_ms, active)
            for id, (revision, at_ms, segment) in self._journal.index.batch_ids.items()
            if segment == number and at_ms >= oldest
        }

    def _write(
        self,
        segment: Segment,
        rows: list[tuple[bytes, int, int, int]],
        ids: dict[bytes, tuple[int, int, int]],
    ) -> None:
        journal = self._journal
        active, head = journal.active, journal.index.head
        encode = active.format.encode
        parts: list[bytes] = []
        moved: list[tuple[bytes, Kept | None, int]] = []
        end = active.size
        for key, revision, at, length in rows:
            data = segment.read(at, length)
            row = segment.format.row(data)
            if active.format is not segment.format or not data.endswith(b"\n"):
                data = encode(row)
            moved.append((key, (place_of(active.number, end, len(data)), revision), revision))
            parts.append(data)
            end += len(data)
        parts += (encode(BatchId(id, known[0], known[1])) for id, known in ids.items())
        parts.append(encode(Commit(head, head, len(rows) + len(ids))))
        data = b"".join(parts)
        try:
            journal.write(active.size, data)
            made = Published(moved, {}, ids, head, active.size + len(data), moved=True)
            journal.commit(made, flush=True)
        except BaseException:
            with suppress(StoreError):  # The next one tries again, and tells it.
                journal.cut()
            raise
