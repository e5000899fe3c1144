"""The housekeeping thread: what must happen within some time, and on nobody's time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakMethod

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
        self._needed = threading.Event()
        self._closing = threading.Event()
        self._starting = threading.RLock()
        self._worker: Worker | None = None

    def wake(self) -> None:
        """Something is to do."""
        if self._needed.is_set():
            return
        self._needed.set()
        if self._worker is None:
            holding(self._starting, self._start)

    def close(self) -> None:
        """End the thread; what it has begun is finished first."""
        self._closing.set()
        self._needed.set()
        if self._worker is not None:
            self._worker.join()

    def _start(self) -> None:
        if self._worker is None and not self._closing.is_set():
            self._worker = self._host.spawn(self._name, self._run)

    def _run(self) -> None:
        again_s: float | None = None
        while True:
            self._needed.wait(again_s)
            # Before the look at `closing`: cleared later, this could swallow the call of `close`.
            self._needed.clear()
            if self._closing.wait(self._delay_s):
                return
            work = self._work()
            if work is None:
                return
            again_s = work()
            del work
