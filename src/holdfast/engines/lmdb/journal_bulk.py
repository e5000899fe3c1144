"""How what the journal holds reaches LMDB, and how callers wait for that."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from holdfast.contract.errors import IntegrityFailed, StoreError
from holdfast.contract.runtime import Clock
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.facts import JournalFact
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Overlay
from holdfast.engines.lmdb.writer import LmdbWriter, Rows

#: Room that must be left, of the journal's size, and beside that, so that LMDB can take it all.
ROOM_FACTOR = 8
ROOM_MARGIN_BYTES = 4 * 1024 * 1024
#: What a row may take in LMDB at the worst: a page of its own, and its share of those above.
ROW_ROOM_BYTES = 2 * 4096
#: Rows that are written between two pauses, in which callers commit.
_SLICE_ROWS = 256
_SLICE_PAUSE_S = 0.0002


def rows_max(medium: Medium) -> int:
    """How many rows a half may gather for LMDB to have room for two halves; 0: room is short.

    Sets the reserve aside.
    """
    medium.room.set_aside()
    left = medium.room.left() - ROOM_MARGIN_BYTES
    if not medium.place.ballast.exists() or left < ROOM_FACTOR * medium.config.journal:
        return 0
    return left // ROW_ROOM_BYTES // 2


def write_rows(
    medium: Medium,
    clock: Clock,
    overlay: Overlay,
    before: int,
    head: int,
    fact: JournalFact,
    *,
    pause: bool,
) -> None:
    """Write an overlay to LMDB in one commit, which also says what of the journal is not there.

    Args:
        before: LMDB's newest revision, as it should be.
        head: the newest revision from then on.
        pause: let callers commit in between.
    """
    medium.check_place()
    writer = LmdbWriter(medium, clock, turn_taken=True, owed=True)
    try:
        writer.begin()
        if writer.look(facts.read_journal) == fact:
            return  # It was written, and something failed behind that.
        if writer.head != before:
            raise IntegrityFailed(
                f"another program wrote to the database {medium.url} and took no turn, while "
                "acknowledged commits lay in the journal; they are still there. Close the "
                "database, end that program, and restore a backup"
            )
        _apply(medium, writer, sorted(overlay.rows.items()), pause=pause)
        for id, revision in overlay.ids.items():
            writer.remember(id, revision)
        writer.note = lambda transaction: facts.write_journal(transaction, fact)
        writer.finish(head)
    finally:
        writer.abandon()


def _apply(medium: Medium, writer: LmdbWriter, rows: Rows, *, pause: bool) -> None:
    if not pause:
        writer.apply(rows)
        return
    for start in range(0, len(rows), _SLICE_ROWS):
        writer.apply(rows[start : start + _SLICE_ROWS])
        medium.pause(_SLICE_PAUSE_S)


class Tries:
    """Waiting for a thread to try something.

    Attributes:
        failure: what the last try met.
    """

    def __init__(self) -> None:
        self.failure: StoreError | None = None
        self._count = 0
        self._waiting: list[SimpleQueue[None]] = []

    def wait(self, *, still: Callable[[], bool], ring: Callable[[], None]) -> None:
        """Have the thread try, and wait until it did, while `still` says that it has to."""
        count = self._count
        gate: SimpleQueue[None] = SimpleQueue()
        self._waiting.append(gate)
        if self._count == count and still():
            ring()
            gate.get()

    def tried(self, failure: StoreError | None) -> None:
        """It was tried: wake the waiters."""
        self.failure = failure
        self._count += 1
        waiting, self._waiting = self._waiting, []
        for gate in waiting:
            gate.put(None)
