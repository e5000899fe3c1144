"""Waiting for an item of a queue, for a time."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def next_of(queue: SimpleQueue[T], timeout_s: float | None) -> T:
    """The next item of a queue that nobody else takes from.

    `get` with a time alone may wait for ever: where the queue's own lock is free, CPython takes it,
    reckons what is left of the time, and takes less than nothing for no limit. A thread that the
    system lets rest right there does not come back. A look without waiting takes the lock first.

    Raises:
        queue.Empty: none came in that time.
    """
    try:
        return queue.get_nowait()
    except Empty:
        return queue.get(timeout=timeout_s)
