"""The thread that flushes what `relaxed` mode acknowledged."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from weakref import ref

from holdfast.contract.errors import StoreError

if TYPE_CHECKING:
    from holdfast.engines.lmdb.relaxed import Relaxed

#: Rung with the one whom it concerns, so that a thread that rests holds nothing.
Bell = SimpleQueue["Relaxed | None"]


def told(error: Exception, url: str) -> StoreError:
    """The error that whoever waits for the flush gets."""
    if isinstance(error, StoreError):
        return error
    failure = StoreError(f"flushing the database {url} failed: {error!r}")
    failure.__cause__ = error
    return failure


def flush_when_rung(me: ref[Relaxed], bell: Bell) -> None:
    """The thread: while it rests it holds nothing, so that a dropped engine is collected."""
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
