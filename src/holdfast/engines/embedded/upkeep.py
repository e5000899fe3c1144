"""The housekeeping thread: what must happen within some time, and on nobody's time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from weakref import WeakMethod

from holdfast.contract.queues import next_of
from holdfast.contract.runtime import Host, Worker
from holdfast.engines.embedded.locking import holding


class Upkeep:
    """One thread, started when it is first needed, that sleeps until it is woken.

    Args:
        name: of the thread.
        host: starts it.
        delay_s: how long it lets needs gather once woken.
        work: what it does; returns after how many seconds to do it again, None when woken only. A
            method, known weakly: the thread alone keeps nobody from being collected.
    """

    def __init__(
        self, name: str, host: Host, delay_s: float, work: Callable[[], float | None]
    ) -> None:
        self._name = name
        self._host = host
        self._delay_s = delay_s
        self._work = WeakMethod(work)
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = self._closed = False
        self._starting = threading.RLock()
        self._worker: Worker | None = None

    def wake(self) -> None:
        """Something is to do."""
        if self._rung:
            return
        self._rung = True
        self._bell.put(None)
        if self._worker is None:
            holding(self._starting, self._start)

    def close(self) -> None:
        """End the thread; what it has begun is finished first."""
        self._closed = True
        self._bell.put(None)
        if self._worker is not None:
            self._worker.join()

    def _start(self) -> None:
        if self._worker is None and not self._closed:
            self._worker = self._host.spawn(self._name, self._run)

    def _run(self) -> None:
        again_s: float | None = None
        while True:
            with suppress(Empty):
                next_of(self._bell, again_s)
            if self._delay_s and not self._closed:
                self._rung = True  # What comes meanwhile is gathered; a close alone rings.
                with suppress(Empty):
                    next_of(self._bell, self._delay_s)
            self._rung = False
            if self._closed:
                self._bell.put(None)  # For another one, which an interrupt started beside this one.
                return
            work = self._work()
            if work is None:
                return
            again_s = work()
            del work
