"""Locks that an interrupt may not leave locked.

A signal's exception may come between taking a lock and the `try` that would give it back. Locks
that callers take are therefore reentrant ones, which know their thread: whoever catches the
exception further out lets go of what this thread still has. Nobody takes them twice on purpose.

Events and conditions of the standard library are written in Python, and an interrupt inside of one
leaves it locked for good. So threads that callers wake wait at queues, which are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def let_go(lock: threading.RLock) -> None:
    """Unlock the lock if this thread has it."""
    with suppress(RuntimeError):
        while True:
            lock.release()


def pause(seconds: float) -> None:
    """Hold this thread so long."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


def owns(lock: threading.RLock) -> bool:
    """Whether this thread has the lock."""
    return bool(lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else tells


def holding(lock: threading.RLock, action: Callable[[], T]) -> T:
    """What the action returns, run with the lock."""
    try:
        lock.acquire()
        result = action()
        lock.release()
    except BaseException:
        let_go(lock)
        raise
    return result
