"""Work in a thread that its caller may leave, and whose end is waited for before things close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from holdfast.contract.errors import StoreClosed
from holdfast.contract.runtime import Completion, Host

T = TypeVar("T")


class Turns:
    """One turn of work after the other, each where it holds up no loop.

    Args:
        host: tells how callers wait.

    Attributes:
        over: whether nothing is to be begun any more; work under way asks now and then.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._running: Completion[None] | None = None
        self.over = False

    async def take(self, work: Callable[[], T]) -> T:
        """What the work returns. A caller that is cancelled leaves it to its end."""
        runtime = self._host.runtime()
        ended: Completion[None] = runtime.completion()

        def run() -> T:
            with self._lock:
                # Cancelled before a thread was free: then nobody waits for its end.
                self.require()
                self._running = ended
            try:
                return work()
            finally:
                ended.settle()

        return await runtime.offload(run)

    def require(self) -> None:
        """Raise StoreClosed once it is over."""
        if self.over:
            raise StoreClosed("the caller of this work has gone")

    async def end(self) -> None:
        """Begin nothing any more, and wait for the end of what is under way."""
        with self._lock:
            self.over = True
            running = self._running
        if running is not None:
            await running.wait()
