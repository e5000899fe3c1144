"""What has to happen without anybody asking: expired entries go, the feed's past is trimmed.

One thread for each open database, started when it is first needed, joined at close. It drives the
same coroutines as everybody else.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from holdfast.contract.forks import Paused, around_fork
from holdfast.contract.queues import next_of
from holdfast.contract.runtime import Host, Worker
from holdfast.runtime.system import drive

#: The longest rest, so that what other processes wrote is noticed too.
REST_MAX_S = 0.5
#: How long a fork waits for a round to end.
FORK_WAIT_S = 5.0


_alive: weakref.WeakSet[Housekeeping] = weakref.WeakSet()
_paused: list[Housekeeping] = []


def _before_fork() -> None:
    # A driver that a thread is busy in keeps its locks in the child for good, so that the child
    # could open nothing. A round that does not end in time is the smaller evil.
    _paused.extend(
        one
        for one in list(_alive)
        if one._round_lock.acquire(timeout=FORK_WAIT_S)  # noqa: SLF001
    )


def _after_fork() -> None:
    for one in _paused:
        one._round_lock.release()  # noqa: SLF001 - ours
    _paused.clear()


around_fork(Paused.WORK, before=_before_fork, in_parent=_after_fork, in_child=_after_fork)


class Over(Exception):
    """What was kept is gone: there is nothing to do any more."""


class Housekeeping:
    """Runs `work` again and again, with rests in between.

    Args:
        host: runs the thread.
        work: one round; how many seconds until the next has something to do, at most. It raises
            Over when there will be no more rounds.
        failed: told of an error of a round, which does not end the rounds.
    """

    def __init__(
        self,
        host: Host,
        work: Callable[[], Awaitable[float]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._host = host
        self._work = work
        self._failed = failed
        # A queue, which an interrupt cannot leave locked as it can an event.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._stopped = False
        #: How many rounds failed, and the class of the last failure.
        self.failures = 0
        self.last_failure: str | None = None
        # Held during a round, so that the process does not fork in the middle of one.
        self._round_lock = threading.Lock()
        _alive.add(self)

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        worker = self._worker
        return worker is not None and not self._stopped and not worker.join(0)

    def need(self) -> None:
        """There is, or will be, something to do: start the thread if it does not run yet."""
        if self._worker is None:
            with self._lock:
                if self._worker is None and not self._stopped:
                    self._worker = self._host.spawn("holdfast housekeeping", self._run)

    def stop(self) -> None:
        """End the thread and wait for the round under way."""
        with self._lock:
            self._stopped = True
            worker = self._worker
        self._wakes.put(None)
        if worker is not None:
            worker.join()

    def leave(self) -> None:
        """End the thread without waiting for it."""
        self._stopped = True
        self._wakes.put(None)

    def note(self, error: BaseException) -> None:
        """Count and tell a failure that does not end the round."""
        self.failures += 1
        self.last_failure = type(error).__name__
        self._failed(error)

    def _run(self) -> None:
        while not self._stopped:
            rest = REST_MAX_S
            try:
                with self._round_lock:
                    rest = min(rest, drive(self._round()))
            except Over:
                return
            except BaseException as error:  # noqa: BLE001 - whatever a round met, the next comes
                if not self._stopped:
                    self.note(error)
            if not rest > 0:  # Also what is no number.
                rest = 0.001
            with suppress(Empty):
                next_of(self._wakes, rest)
        self._wakes.put(None)  # For another one, which an interrupt started beside this one.

    async def _round(self) -> float:
        return await self._work()
