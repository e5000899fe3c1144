"""A lock service that waits: writers of one namespace take turns, in every process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from holdfast.runtime.gate import Gate
from holdfast.store.locks.lock import TTL_S, Locks

T = TypeVar("T")


class MutexLockService:
    """Runs operations under the mutex of their namespace.

    For a store whose writes have to exclude each other beyond their commits. The price: two more
    commits for each write, and writers of one namespace share no flush. A caller that holds the
    lock of the namespace already goes on under it.

    Args:
        locks: of the database.
        gate: of the handle.
        ttl, timeout: of each lock.
    """

    def __init__(
        self,
        locks: Locks,
        gate: Gate,
        *,
        ttl: float | timedelta = TTL_S,
        timeout: float | timedelta | None = None,
    ) -> None:
        self._locks = locks
        self._gate = gate
        self._ttl = ttl
        self._timeout = timeout

    async def with_lock(self, namespace: str, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result. The lock is let go however the operation ends.

        Raises:
            TimedOut, DeadlockDetected: it was never run.
        """
        if self._locks.holds(namespace):
            return await operation()
        async with self._locks.lock(namespace, self._ttl, self._timeout, self._gate, renews=True):
            return await operation()
