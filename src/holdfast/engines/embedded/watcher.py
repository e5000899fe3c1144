"""Waiting for commits: of this process at once, of other processes by polling while one waits.

Files that a database writes tell too much or too little to file-system watchers, so one thread
asks the engine's own counter. It exists only while somebody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.queues import next_of
from holdfast.contract.runtime import Completion, Host, Runtime, Worker
from holdfast.engines.embedded.locking import holding

#: How often the counter is asked. The look-ups of a second cost about two thousandths of a core.
POLL_INTERVAL_S = 0.04
#: How long the thread stays parked without anybody waiting before it ends.
PARKED_S = 5.0


class Watcher:
    """Who waits for which revision.

    Args:
        host: tells how callers wait, and runs the polling thread.
        head: the newest revision of any process; cheap, never blocks.
        shared: whether other processes can commit, so that their commits have to be polled for.
    """

    def __init__(self, host: Host, head: Callable[[], int], shared: Callable[[], bool]) -> None:
        self._host = host
        self._head = head
        self._shared = shared
        self._lock = threading.RLock()
        # One bell for all who wait the same way, so that ringing costs the same for one and for
        # thousands; and who waits, by a token of each.
        self._bells: dict[Runtime, Completion[int]] = {}
        self._waiting: dict[object, None] = {}
        self._poller: Worker | None = None
        self._parked = False
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many callers wait now."""
        return len(self._waiting)

    async def wait(self, after_revision: int) -> int:
        """Return the newest revision once it is above `after_revision`."""
        runtime, token = self._host.runtime(), object()
        try:
            while True:
                bell = holding(self._lock, lambda: self._join(runtime, token))
                # Asked after joining the waiting, so that a commit in between is not missed.
                head = self._head()
                if head > after_revision:
                    return head
                if self._shared():
                    self._start()
                head = await bell.wait()
                if head > after_revision:
                    return head
        finally:
            self._waiting.pop(token, None)

    def publish(self, head: int) -> None:
        """Wake the waiters: there is a new revision."""
        if not self._bells:
            return
        holding(self._lock, lambda: self._ring(head, None))

    def close(self) -> None:
        """Wake everybody with StoreClosed and end the polling thread. Can be called again."""
        self._closed = True
        holding(self._lock, lambda: self._ring(None, _closed()))
        poller = self._poller
        if poller is not None:
            self._wakes.put(None)
            poller.join()

    # --- Inside -----------------------------------------------------------------------------

    def _join(self, runtime: Runtime, token: object) -> Completion[int]:
        if self._closed:
            raise _closed()
        self._waiting[token] = None
        if self._parked:
            self._parked = False
            self._wakes.put(None)
        bell = self._bells.get(runtime)
        if bell is None:
            bell = self._bells[runtime] = runtime.completion()
        return bell

    def _ring(self, head: int | None, error: StoreError | None) -> None:
        bells = list(self._bells.values())
        self._host.settle((bell, head, error) for bell in bells)
        # Only now: interrupted before, this is repeated, and a bell rings once.
        self._bells = {}

    def _start(self) -> None:
        if self._poller is None:
            holding(self._lock, self._spawn)

    def _spawn(self) -> None:
        if self._poller is None and not self._closed:
            self._poller = self._host.spawn("holdfast watcher", self._poll)

    def _poll(self) -> None:
        known, rest = -1, POLL_INTERVAL_S
        while not self._closed:
            with suppress(Empty):
                next_of(self._wakes, rest)
            # Said before it is looked who waits, so that a waiter that joins sees it.
            self._parked = True
            if self._waiting:
                self._parked, rest = False, POLL_INTERVAL_S
                # What cannot be read now may be the next time; a close has its own way to tell.
                with suppress(StoreError):
                    head = self._head()
                    if head != known:
                        self.publish(head)
                        known = head
            elif rest == PARKED_S and holding(self._lock, self._leave):
                return
            else:
                rest = PARKED_S

    def _leave(self) -> bool:
        """End the thread, unless somebody came."""
        if self._waiting:
            return False
        self._poller = None
        return True


def _closed() -> StoreClosed:
    return StoreClosed("the database was closed while waiting for a commit")
