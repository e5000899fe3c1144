"""Waiting for commits: of this process at once, of other processes by polling while one waits.

Files that a database writes tell too much or too little to file-system watchers, so one thread
asks the engine's own counter. It exists only while somebody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from holdfast.contract.errors import StoreClosed
from holdfast.contract.runtime import Completion, Host, Worker

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
        self._lock = threading.Lock()
        self._waiting: dict[Completion[int], int] = {}
        self._poller: Worker | None = None
        self._somebody = threading.Event()
        self._stopping = threading.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many callers wait now."""
        return len(self._waiting)

    async def wait(self, after_revision: int) -> int:
        """Return the newest revision once it is above `after_revision`."""
        completion: Completion[int] = self._host.runtime().completion()
        with self._lock:
            if self._closed:
                raise _closed()
            self._waiting[completion] = after_revision
            self._somebody.set()
        try:
            # Asked after joining the waiting, so that a commit in between is not missed.
            head = self._head()
            if head > after_revision:
                return head
            if self._shared():
                self._start()
            return await completion.wait()
        finally:
            with self._lock:
                self._waiting.pop(completion, None)
                if not self._waiting:
                    self._somebody.clear()

    def publish(self, head: int) -> None:
        """Wake whoever waits for a revision below `head`."""
        if not self._waiting:
            return
        with self._lock:
            reached = [one for one, after in self._waiting.items() if head > after]
            for completion in reached:
                del self._waiting[completion]
        self._host.settle((completion, head, None) for completion in reached)

    def close(self) -> None:
        """Wake everybody with StoreClosed and end the polling thread."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            poller = self._poller
        self._stopping.set()
        self._somebody.set()
        self._host.settle((completion, None, _closed()) for completion in waiting)
        if poller is not None:
            poller.join()

    # --- Inside -----------------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._poller is None and not self._closed:
                self._poller = self._host.spawn("holdfast watcher", self._poll)

    def _poll(self) -> None:
        known = -1
        while not self._stopping.wait(POLL_INTERVAL_S):
            if not self._waiting:
                self._somebody.wait(PARKED_S)
                with self._lock:
                    if not self._waiting:
                        self._poller = None
                        return
            head = self._head()
            if head != known:
                known = head
                self.publish(head)


def _closed() -> StoreClosed:
    return StoreClosed("the database was closed while waiting for a commit")
