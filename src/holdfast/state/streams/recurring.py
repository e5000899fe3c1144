"""A message that is added to a stream again and again, once each time however many add it.

Time is divided into parts of equal length, counted from 1970, and each part has one message. Every
process that has the work to do runs the same loop: the first one of each part adds the message, and
the others find its key taken. Parts that pass while nobody runs are not made up for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from holdfast.contract.errors import StoreClosed, StoreError, TimedOut
from holdfast.contract.runtime import Completion, Components
from holdfast.state.calling import call

_log = logging.getLogger("holdfast")

#: How long it is remembered which parts had their message, beyond two of them, in seconds: clocks
#: of several machines may be apart, or step back, by as much. And how many parts at most.
REMEMBER_S = 3600.0
PARTS_MAX = 1000
#: After a failure it is tried again so much later, at least; and in a part four times at most.
RETRY_S = 0.05
#: The clock is looked at as often at least, in seconds: it may be set ahead.
LOOK_MAX_S = 60.0


class Once(Protocol):
    """Adds the message of a part, and says whether this call did."""

    async def __call__(self, key: str, remember: float) -> bool: ...


class Recurrence:
    """A message that recurs; see `Streams.recur`.

    Attributes:
        appended: messages that this object added.
        interruptions: how often the keeper could not be asked.
    """

    def __init__(
        self,
        once: Once,
        every_ms: int,
        on_error: Callable[[BaseException], Any] | None,
        components: Components,
    ) -> None:
        self.appended = self.interruptions = 0
        self._once = once
        self._every_ms = every_ms
        self._on_error = on_error
        self._clock = components.clock
        self._host = components.host
        self._stopping = False
        self._waking: Completion[None] | None = None

    def stop(self) -> None:
        """Add nothing more; `run` returns at once."""
        self._stopping = True
        waking = self._waking
        if waking is not None:
            waking.settle()

    async def run(self) -> None:
        """Add the message of each part that comes, until `stop`. Cancelling it ends it too."""
        done: int | None = None
        while not self._stopping:
            part, into_ms = divmod(self._clock.now_ms(), self._every_ms)
            if part == done:
                await self._rest(min((self._every_ms - into_ms) / 1000, LOOK_MAX_S))
                continue
            try:
                every_s = self._every_ms / 1000
                remember_s = 2 * every_s + min(REMEMBER_S, PARTS_MAX * every_s)
                self.appended += await self._once(f"every {self._every_ms} ms: {part}", remember_s)
                done = part
            except StoreClosed:
                raise
            except StoreError as error:
                self.interruptions += 1
                await self._tell(error)
                await self._rest(max(self._every_ms / 4000, RETRY_S))

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until it is stopped."""
        runtime = self._host.runtime()
        waking: Completion[None] = runtime.completion()
        self._waking = waking
        try:
            if not self._stopping:
                await waking.wait(seconds)
        except TimedOut:
            return
        finally:
            self._waking = None

    async def _tell(self, error: StoreError) -> None:
        if self._on_error is None:
            _log.warning("a recurring message met %s", type(error).__name__)
            return
        failure = await call(self._host, self._on_error, error)
        if failure is not None:
            # Nobody is there to be interrupted.
            _log.error("on_error of a recurring message failed with %s", type(failure).__name__)
