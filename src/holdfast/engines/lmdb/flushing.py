"""The thread that flushes what `relaxed` mode acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from holdfast.contract.errors import StoreError


class Flushed(Protocol):
    """Whose commits the thread flushes: `Relaxed`."""

    ended: bool

    def look(self, *, due: bool) -> float | None: ...


#: Rung with the one whom it concerns, so that a thread that rests holds nothing.
Bell = SimpleQueue["Flushed | None"]


def told(error: Exception, url: str) -> StoreError:
    """The error that whoever waits for the flush gets."""
    if isinstance(error, StoreError):
        return error
    failure = StoreError(f"flushing the database {url} failed: {error!r}")
    failure.__cause__ = error
    return failure


def flush_when_rung(me: Callable[[], Flushed | None], bell: Bell) -> None:
    """The thread: while it rests it holds nothing, so that a dropped engine is collected.

    `me` is a weak reference.
    """
    rest: float | None = None
    while True:
        due = False
        try:
            mine = bell.get(timeout=rest)
        except Empty:
            mine, due = me(), True
        rest = None
        if mine is None:
            continue  # Dropped: whoever collects it rings.
        if mine.ended:
            return
        rest = mine.look(due=due)
        del mine
