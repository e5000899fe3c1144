"""The default lock service of writes: grants at once.

A write decides inside the commit, which is exclusive by itself, so waiting for a lock first would
only keep writers of one namespace from sharing a flush. The orchestrator still asks, so that a
service that does wait can be put in; `db.lock(namespace)` is the mutex for callers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class GrantingLockService:
    """Runs the operation right away."""

    async def with_lock(self, namespace: str, operation: Callable[[], Awaitable[T]]) -> T:
        return await operation()
