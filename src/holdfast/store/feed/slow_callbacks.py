"""The slow lane: a few threads that call the callbacks which would keep writers waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import count

from holdfast.contract.runtime import Host, Worker
from holdfast.store.feed.subscription import Subscription

#: How many threads call slow callbacks; more subscribers than that take turns.
THREADS_MAX = 8
#: How long a thread without work stays, in seconds.
IDLE_S = 1.0


class SlowLane:
    """Serves subscriptions in threads, in turns, one change each; none twice at once.

    Args:
        host: runs the threads.
        serve: delivers one change; whether there are more.
    """

    def __init__(self, host: Host, serve: Callable[[Subscription], bool]) -> None:
        self._host = host
        self._serve = serve
        self._ready: deque[Subscription] = deque()
        # Taken by itself where callers come: an interrupt may leave a condition locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._workers: dict[int, Worker] = {}
        self._numbers = count()
        self._idle = 0
        self._closed = False

    def put(self, subscription: Subscription) -> None:
        """There is work for this subscription, and no thread has taken it yet."""
        with self._lock:
            if self._closed:
                return
            self._ready.append(subscription)
            if self._idle >= len(self._ready) or len(self._workers) >= THREADS_MAX:
                self._changed.notify()
            else:
                self._start()

    def workers(self) -> list[Worker]:
        """The threads there are."""
        with self._lock:
            return list(self._workers.values())

    def close(self) -> None:
        """No further call begins; the threads end."""
        with self._lock:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()

    # --- Inside -----------------------------------------------------------------------------

    def _start(self) -> None:
        number = next(self._numbers)
        self._workers[number] = self._host.spawn(
            "holdfast slow subscribers", lambda: self._run(number)
        )

    def _run(self, number: int) -> None:
        while (subscription := self._take(number)) is not None:
            if self._serve(subscription):
                with self._changed:
                    if not self._closed:
                        self._ready.append(subscription)

    def _take(self, number: int) -> Subscription | None:
        """The next subscription, or None when this thread is no longer needed."""
        with self._changed:
            while not self._ready:
                self._idle += 1
                woken = not self._closed and self._changed.wait(IDLE_S)
                self._idle -= 1
                if not self._ready and not woken:
                    del self._workers[number]
                    return None
            return self._ready.popleft()
