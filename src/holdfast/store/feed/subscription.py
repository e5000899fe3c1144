"""One subscriber: where it stands in the feed, what waits for it, and how it fared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.contract.errors import InvalidInput
from holdfast.runtime.working import is_coroutine_function
from holdfast.store.change import Change, Held
from holdfast.store.feed.feed import WHOLE

#: How many changes wait for one subscriber in memory; further ones are read from the feed later.
QUEUE_MAX = 1024
#: How many bytes of entries wait so. A single change may be bigger.
QUEUE_BYTES_MAX = 16 * 1024 * 1024
#: A call of a plain callback that takes longer, in seconds, is charged to the subscriber.
CALL_S = 0.01
#: How much it may be charged before its callback is called in a thread of its own.
BUDGET_S = 0.1
#: In how many seconds a budget that is used up is whole again.
RENEWAL_S = 10.0

Callback = Callable[[Change], object]

#: Where a change stands in the feed: revision, and index within the commit.
Place = tuple[int, int]

#: Before every change, and behind every one.
START: Place = (0, -1)
NEVER: Place = (1 << 64, 0)
#: Behind every change of a commit.
INDEX_END = WHOLE

Mode = Literal["inline", "thread", "task"]


def behind(revision: int) -> Place:
    """The place behind all changes of a revision."""
    return revision, INDEX_END


class SubscriptionFacts(msgspec.Struct, frozen=True):
    """How a subscriber fares.

    Attributes:
        pattern: what it subscribed to.
        callback: name of its function.
        mode: where it is called: `inline` before the writer goes on, in a `thread` because it was
            slow, or as a `task` because it is a coroutine function.
        delivered: calls that returned.
        failed: calls that raised.
        queued: changes that wait for it in memory.
        behind: whether its queue ran over, so that the rest is read from the feed.
        slow: whether it has used up its budget.
        missed: how often changes were gone before they were delivered: retention gave them up.
    """

    pattern: str
    callback: str
    mode: Mode
    delivered: int
    failed: int
    queued: int
    behind: bool
    slow: bool
    missed: int


class Subscription:
    """The state of one subscriber. Who changes what waits for it holds the service's lock."""

    __slots__ = (
        "_charged",
        "_charged_at",
        "_queued_bytes",
        "behind",
        "callback",
        "delivered",
        "draining",
        "ended",
        "failed",
        "missed",
        "mode",
        "pattern",
        "pending",
        "skipped",
        "taken",
        "token",
    )

    def __init__(self, pattern: Pattern, callback: Callback, taken: Place) -> None:
        if not callable(callback):
            raise InvalidInput(
                "a subscription wants a function of one change, plain or a coroutine function; "
                f"found {type(callback).__name__}"
            )
        self.pattern = pattern
        self.callback = callback
        self.mode: Mode = "task" if is_coroutine_function(callback) else "inline"
        #: The last change that was handed over or queued: everything up to it is done with.
        self.taken = taken
        self.token = 0
        self.ended = False
        self.pending: deque[tuple[Change, int]] = deque()
        self._queued_bytes = 0
        #: Whether a task or thread is working on `pending`.
        self.draining = False
        self.behind = False
        #: The last change that did not fit into the queue.
        self.skipped = START
        self._charged = 0.0
        self._charged_at = 0.0
        self.delivered = 0
        self.failed = 0
        self.missed = 0

    @property
    def name(self) -> str:
        """Name of the callback, for people."""
        return str(getattr(self.callback, "__qualname__", type(self.callback).__qualname__))

    def facts(self) -> SubscriptionFacts:
        """The counters as they are now."""
        return SubscriptionFacts(
            self.pattern.text,
            self.name,
            self.mode,
            self.delivered,
            self.failed,
            len(self.pending),
            self.behind,
            self.mode == "thread",
            self.missed,
        )

    def charge(self, now: float, seconds: float) -> bool:
        """A call was slow; whether the budget is used up."""
        renewed = (now - self._charged_at) * (BUDGET_S / RENEWAL_S)
        self._charged = max(0.0, self._charged - renewed) + seconds
        self._charged_at = now
        return self._charged > BUDGET_S

    def queue(self, place: Place, change: Change) -> bool:
        """Let a change wait; False when there is no room."""
        size = _size(change.before) + _size(change.after)
        if self.pending and (
            len(self.pending) >= QUEUE_MAX or self._queued_bytes + size > QUEUE_BYTES_MAX
        ):
            return False
        self.pending.append((change, size))
        self._queued_bytes += size
        self.taken = place
        return True

    def next(self) -> Change | None:
        """Take the change that has waited longest."""
        if not self.pending:
            return None
        change, size = self.pending.popleft()
        self._queued_bytes -= size
        return change

    def end(self) -> None:
        """Nothing is delivered any more."""
        self.ended = True
        self.pending.clear()
        self._queued_bytes = 0


def _size(value: Any) -> int:
    """How many bytes a value of a change holds in memory."""
    if isinstance(value, Held):
        return value.bytes_held
    return len(value) if isinstance(value, bytes) else 0
