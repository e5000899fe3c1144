"""One subscriber: a bounded queue, and a task that hands over one message after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

from holdfast.contract.runtime import Background, Host
from holdfast.state.calling import call
from holdfast.state.events.message import Message
from holdfast.state.limits import SUBSCRIBER_QUEUE_MAX
from holdfast.state.shared import Shared

Handler = Callable[[Message[Any]], Any]
#: Called with what went wrong and where: an error, and the channel as the subscriber named it.
OnError = Callable[[BaseException, str], Any]


class Subscription:
    """Calling it (`await subscription()`) ends it; so does leaving its `async with` block.

    Attributes:
        channel: what was subscribed to.
        delivered: calls of the handler that returned.
        failed: calls that raised.
        refused: messages that were no envelope, or did not fit their schema.
        dropped: messages that came while the queue was full.
        gaps: how often messages may have been missed because the connection was lost.
    """

    def __init__(
        self,
        channel: str,
        handler: Handler,
        host: Host,
        read: Callable[[str, bytes], Message[Any]],
        report: Callable[[BaseException, str], Awaitable[None]],
        end: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        self.channel = channel
        self.handler = handler
        self.delivered = self.failed = self.refused = self.dropped = self.gaps = 0
        self.closed = False
        #: Of the loop it belongs to.
        self.runtime = host.runtime()
        #: Settled when the keeper has confirmed it.
        self.ready: Shared[None] = Shared(host)
        self._host = host
        self._read = read
        self._report = report
        self._end = end
        self._queue: deque[tuple[str, bytes]] = deque()
        self._draining = False
        self._drainer: Background | None = None

    async def __call__(self) -> None:
        """Hear nothing more. A call of the handler that has begun goes on."""
        await self._end(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self()

    @property
    def queued(self) -> int:
        """Messages that wait for the handler."""
        return len(self._queue)

    def deliver(self, channel: str, data: bytes) -> None:
        """A message has come. Never raises, never waits."""
        if self.closed:
            return
        if len(self._queue) >= SUBSCRIBER_QUEUE_MAX:
            self.dropped += 1
            return
        self._queue.append((channel, data))
        if not self._draining:
            self._draining = True
            # Held, so that a loop cannot lose a handler that waits.
            self._drainer = self._host.runtime().start("holdfast events", self._drain)

    def gap(self) -> None:
        """Messages may have been missed."""
        self.gaps += 1

    def close(self) -> None:
        """Nothing is delivered any more."""
        self.closed = True
        self._queue.clear()

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._hand_over(*self._queue.popleft())
        finally:
            self._draining = False

    async def _hand_over(self, channel: str, data: bytes) -> None:
        message: list[Message[Any]] = []
        # A schema is the caller's code, too.
        failure = await call(self._host, lambda: message.append(self._read(channel, data)))
        if failure is not None:
            self.refused += 1
            await self._report(failure, channel)
            return
        failure = await call(self._host, self.handler, *message)
        if failure is None:
            self.delivered += 1
        else:
            self.failed += 1
            await self._report(failure, channel)
