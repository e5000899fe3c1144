"""How what `relaxed` mode acknowledged reaches the file, and the thread that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import Protocol

from holdfast.contract.errors import IntegrityFailed, StoreError
from holdfast.contract.queues import next_of
from holdfast.contract.runtime import Clock
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Overlay
from holdfast.engines.lmdb.writer import LmdbWriter


class Flushed(Protocol):
    """Whose commits the thread flushes.

    Attributes:
        ended: the thread has to end.
        turn: which thread it is that works.
        worker: the number of that thread. An engine that was dropped may be collected, and closed,
            on its own thread, which then must not wait for itself.
    """

    ended: bool
    turn: object
    worker: int

    def look(self, *, due: bool) -> float | None: ...


#: Rung with the one whom it concerns, so that a thread that rests holds nothing.
Bell = SimpleQueue["Flushed | None"]


def told(error: Exception, url: str) -> StoreError:
    """The error that those who wait for the flush get."""
    if isinstance(error, StoreError):
        return error
    failure = StoreError(f"flushing the database {url} failed: {error!r}")
    failure.__cause__ = error
    return failure


def flush_when_rung(me: Callable[[], Flushed | None], bell: Bell, turn: object) -> None:
    """The thread: while it rests it holds nothing, so that a dropped engine is collected.

    `me` is a weak reference.
    """
    rest: float | None = None
    while True:
        due = False
        try:
            mine = next_of(bell, rest)
        except Empty:
            mine, due = me(), True
        rest = None
        if mine is None:
            continue  # Dropped: the collector rings.
        if mine.ended or mine.turn is not turn:
            bell.put(mine)  # For another one, which an interrupt started beside this one.
            return
        mine.worker = threading.get_ident()
        rest = mine.look(due=due)
        del mine


def write_overlay(medium: Medium, clock: Clock, overlay: Overlay, head: int) -> None:
    """Write an overlay to the file, whose newest revision should be `head`; the turn is taken."""
    medium.check_place()
    writer = LmdbWriter(medium, clock, turn_taken=True)
    try:
        writer.begin()
        if writer.head != head:
            raise IntegrityFailed(
                f"another program wrote to the database {medium.url} between two "
                "flushes and took no turn; what was acknowledged since the last is lost"
            )
        writer.apply(sorted(overlay.rows.items(), key=itemgetter(0)))
        for id, revision in overlay.ids.items():
            writer.remember(id, revision)
        writer.finish(overlay.head)
    finally:
        writer.abandon()


def note_owner(
    medium: Medium, clock: Clock, note: Callable[..., None], *, turn_taken: bool
) -> None:
    """Note in the file that this process acknowledges early, or no longer does."""
    writer = LmdbWriter(medium, clock, turn_taken=turn_taken)
    try:
        writer.begin()
        writer.run(lambda transaction: note(transaction, medium.owner))
        writer.finish(writer.head)
    finally:
        writer.abandon()
