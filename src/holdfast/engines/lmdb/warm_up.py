"""When a journal is worth its start: commits come quickly, and nobody else was there just now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: So many commits within `WARM_UP_S` before the journal begins, which takes four flushes.
WARM_UP_COMMITS = 8
WARM_UP_S = 1.0
#: How long nothing is tried after somebody else was there.
DENIED_S = 0.05


class WarmUp:
    """Counts the commits that do without the journal.

    Args:
        now: the monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._recent: deque[float] = deque()
        self._not_before = now()

    def noticed(self) -> bool:
        """A commit comes: whether the journal should begin with it."""
        now = self._now()
        self._recent.append(now)
        if len(self._recent) <= WARM_UP_COMMITS:
            return False
        return now - self._recent.popleft() <= WARM_UP_S and now >= self._not_before

    def denied(self) -> None:
        """It could not begin."""
        self._not_before = self._now() + DENIED_S

    def over(self) -> None:
        """It began and has ended."""
        self._recent.clear()
