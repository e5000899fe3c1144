"""Group commit: whoever comes first leads, whoever comes meanwhile is taken along.

One transaction and one flush at a time, no fixed delay: while a flush runs, the batches of the
next group gather. Leader and followers may be any threads; callers on an event loop hand their
batch to one writer thread, so that neither a flush nor another process holding the file's writer
lock stands in the loop's way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from holdfast.contract.batch import Receipt
from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.runtime import Host, Worker
from holdfast.engines.embedded.group import Work

#: The most batches that share one transaction. Bounds how long the first of them waits.
GROUP_BATCHES_MAX = 1024
#: The most batches that may wait. Each has a waiting caller, so this bounds tasks, not data.
QUEUE_BATCHES_MAX = 1_000_000


class Committer:
    """Takes batches from any thread or loop and runs them in groups.

    Args:
        name: for the writer thread.
        host: tells how callers wait.
        run: commits a group; must set receipt or error of each work and may raise only for bugs.
        inline: whether this batch may be committed on an event loop's thread right now, because
            that will neither flush nor wait for another process nor take long. Asked while no
            other group runs, so it may begin the transaction that `run` then uses.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        run: Callable[[list[Work]], None],
        inline: Callable[[Work], bool],
    ) -> None:
        self._name = name
        self._host = host
        self._run = run
        self._inline = inline
        self._leading = threading.Lock()
        self._queue: deque[Work] = deque()
        # The writer thread's bell, and whether it has been rung since it last looked.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._starting = threading.Lock()
        self._writer: Worker | None = None
        self._closed = False

    async def commit(self, work: Work) -> Receipt:
        """Have the batch committed, and wait until it is."""
        runtime = self._host.runtime()
        if self._closed:
            raise _closed()
        if runtime.blocking:
            self._queue.append(work)
            with self._leading:
                self._lead(work)
            return work.outcome()
        if self._leading.acquire(blocking=False):
            try:
                if self._inline(work):
                    self._queue.append(work)
                    self._lead(work)
                    return work.outcome()
            finally:
                self._leading.release()
        completion = work.completion = runtime.completion()
        self._queue.append(work)
        if self._writer is None:
            self._start()
        if self._closed and self._withdraw(work):
            raise _closed()
        self._ring()
        return await completion.wait()

    def exclusively(self, action: Callable[[], None]) -> None:
        """Run `action` while no group runs. Holds the calling thread."""
        with self._leading:
            action()

    def close(self) -> None:
        """Commit what was handed over, refuse what comes later, end the writer thread."""
        self._closed = True
        with self._leading:
            while self._queue:
                self._lead(self._queue[-1])
        if self._writer is not None:
            self._bell.put(None)
            self._writer.join()

    # --- Inside -----------------------------------------------------------------------------

    def _start(self) -> None:
        with self._starting:
            if self._writer is None:
                self._writer = self._host.spawn(f"{self._name} writer", self._write)

    def _write(self) -> None:
        """The writer thread: leads for the callers on loops."""
        while True:
            self._bell.get()
            # Before the queue is looked at: who comes after this look rings again.
            self._rung = False
            if self._closed and not self._queue:
                return
            while self._queue:
                with self._leading:
                    group = self._lead_once()
                # Told only now: whoever comes next right away then finds nobody leading.
                self._tell(group)

    def _ring(self) -> None:
        """Have the writer thread look at the queue; once is enough until it does."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def _withdraw(self, work: Work) -> bool:
        """Take a batch back that nobody took along; whether that was in time."""
        try:
            self._queue.remove(work)
        except ValueError:
            return False
        return True

    def _lead(self, work: Work) -> None:
        """Run groups until `work` is done; a follower finds its work done already."""
        while not work.done:
            self._tell(self._lead_once())

    def _lead_once(self) -> list[Work]:
        """Run the next group; it is still to be told."""
        group: list[Work] = []
        while self._queue and len(group) < GROUP_BATCHES_MAX:
            group.append(self._queue.popleft())
        try:
            self._run(group)
        except BaseException as error:
            for work in group:
                if work.receipt is None and work.error is None:
                    work.error = error
            if not isinstance(error, Exception):
                self._tell(group)
                raise
        finally:
            for work in group:
                work.done = True
        return group

    def _tell(self, group: list[Work]) -> None:
        """Wake those who wait on loops."""
        settled = [
            (work.completion, work.receipt, work.error)
            for work in group
            if work.completion is not None
        ]
        if settled:
            self._host.settle(settled)


def _closed() -> StoreError:
    return StoreClosed("the database is closed; open it again to write")
