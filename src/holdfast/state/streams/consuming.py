"""The loop of a consumer: take over what lies idle, read what is new, never more than can be done.

It survives what handlers raise, connections that break and groups that vanish. It ends when it is
told to, once what is in hand is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.contract.errors import KeyNotFound, StoreClosed, StoreError
from holdfast.contract.runtime import Background, Completion, Components
from holdfast.state.calling import call
from holdfast.state.streams.message import StreamMessage

_log = logging.getLogger("holdfast")

#: The first pause after an interruption, in seconds, and the longest one.
BACKOFF_S = 0.05
BACKOFF_MAX_S = 2.0
#: The shortest time that a read waits before messages are looked for that are due, in seconds.
RELEASE_S = 0.005


@dataclass(frozen=True, slots=True)
class Settings:
    """See `StreamGroup.consume`."""

    concurrency: int
    block_s: float
    reclaim_s: float
    deliveries_max: int


class Member(Protocol):
    """What a consumer asks of its place in a group; see `StreamGroup`, which is one."""

    name: str

    async def ensure(self, stream: str) -> bool: ...
    async def read(self, stream: str, *, count: int, block: float) -> list[StreamMessage]: ...
    async def ack(self, stream: str, ids: Sequence[str]) -> int: ...
    async def reclaim_idle(
        self, stream: str, idle: float, *, count: int
    ) -> list[StreamMessage]: ...
    async def release_due(self, stream: str) -> float | None: ...
    async def dead_letter(self, stream: str, message: StreamMessage, reason: str) -> str: ...


class Consumption:
    """A consumer at work; see `StreamGroup.consume`.

    Attributes:
        done: messages whose handler returned.
        failed: calls of the handler that raised.
        dead: messages that became dead letters.
        interruptions: how often the keeper could not be asked.
    """

    def __init__(
        self,
        group: Member,
        stream: str,
        handler: Callable[[StreamMessage], Any],
        settings: Settings,
        on_error: Callable[[BaseException, StreamMessage | None], Any] | None,
        components: Components,
    ) -> None:
        self.done = self.failed = self.dead = self.interruptions = 0
        self._group = group
        self._stream = stream
        self._handler = handler
        self._settings = settings
        self._on_error = on_error
        self._clock = components.clock
        self._host = components.host
        self._in_hand = 0
        self._at_work: dict[str, Background] = {}
        self._freed: Completion[None] | None = None
        self._stopping = False
        self._pause = BACKOFF_S
        #: When it is looked next for messages that are due.
        self._release_at = 0.0

    def stop(self) -> None:
        """Take nothing more; `run` returns once what is in hand is done."""
        self._stopping = True
        self._wake()

    async def run(self) -> None:
        """Work until `stop`. Cancelling it ends it too; what is in hand stays pending then."""
        try:
            await self._run()
        finally:
            for one in [*self._at_work.values()]:
                one.stop()

    # --- Inside -----------------------------------------------------------------------------

    async def _run(self) -> None:
        reclaim_at = 0.0
        ensured = False
        while not self._stopping:
            try:
                if not ensured:
                    await self._group.ensure(self._stream)
                    ensured = True
                await self._room()
                if self._stopping:
                    break
                if self._clock.monotonic() >= reclaim_at:
                    found = await self._take_over()
                    # With more of them there, the next look comes at once.
                    if not found:
                        reclaim_at = self._clock.monotonic() + self._settings.reclaim_s / 2
                    continue
                await self._take_new()
                self._pause = BACKOFF_S
            except StoreClosed:
                raise
            except KeyNotFound as error:
                # The stream or its group is gone: emptied, or deleted.
                ensured = False
                await self._interrupted(error)
            except StoreError as error:
                await self._interrupted(error)
        while self._in_hand:
            await self._wait_freed()

    @property
    def _free(self) -> int:
        return self._settings.concurrency - self._in_hand

    async def _room(self) -> None:
        while self._free <= 0 and not self._stopping:
            await self._wait_freed()

    async def _take_over(self) -> int:
        found = await self._group.reclaim_idle(
            self._stream, self._settings.reclaim_s, count=self._free
        )
        for message in found:
            await self._begin(message)
        return len(found)

    async def _take_new(self) -> None:
        block_s = self._settings.block_s
        if self._clock.monotonic() >= self._release_at:
            left_s = await self._group.release_due(self._stream)
            # Others may add what is due earlier: a look for each read that blocks.
            rest_s = block_s if left_s is None else min(left_s, block_s)
            self._release_at = self._clock.monotonic() + rest_s
        block_s = min(max(self._release_at - self._clock.monotonic(), RELEASE_S), block_s)
        found = await self._group.read(self._stream, count=self._free, block=block_s)
        for message in found:
            await self._begin(message)

    async def _begin(self, message: StreamMessage) -> None:
        self._in_hand += 1
        if self._settings.concurrency == 1:
            await self._work(message)
            return
        runtime = self._host.runtime()
        self._at_work[message.id] = runtime.start(
            "holdfast stream message", lambda: self._work(message)
        )

    async def _work(self, message: StreamMessage) -> None:
        try:
            await self._handle(message)
        except StoreError as error:
            # Not acknowledged: it will be given out again.
            await self._tell(error, message)
        finally:
            self._at_work.pop(message.id, None)
            self._in_hand -= 1
            self._wake()

    async def _handle(self, message: StreamMessage) -> None:
        most = self._settings.deliveries_max
        if message.deliveries > most:
            # Whoever had it died of it each time.
            await self._bury(message, "given out too often")
            return
        failure = message.error or await call(self._host, self._handler, message)
        if failure is None:
            await self._group.ack(self._stream, [message.id])
            self.done += 1
            return
        self.failed += 1
        await self._tell(failure, message)
        if message.deliveries >= most or message.error is not None:
            await self._bury(message, type(failure).__name__)

    async def _bury(self, message: StreamMessage, reason: str) -> None:
        await self._group.dead_letter(self._stream, message, reason)
        self.dead += 1

    async def _interrupted(self, error: StoreError) -> None:
        self.interruptions += 1
        await self._tell(error, None)
        await self._host.runtime().sleep(self._pause)
        self._pause = min(self._pause * 2, BACKOFF_MAX_S)

    async def _tell(self, error: BaseException, message: StreamMessage | None) -> None:
        if self._on_error is None:
            _log.warning("a consumer of %s met %s", self._group.name, type(error).__name__)
            return
        failure = await call(self._host, self._on_error, error, message)
        if failure is not None:
            # Nobody is there to be interrupted.
            _log.error("on_error of a consumer failed with %s", type(failure).__name__)

    async def _wait_freed(self) -> None:
        self._freed = self._host.runtime().completion()
        await self._freed.wait()

    def _wake(self) -> None:
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.settle()
