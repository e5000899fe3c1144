"""Hearing of the commits of others: one connection listens while there is a caller that waits."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from holdfast.contract.errors import ConnectionLost

#: How often a caller that waits asks for the head all the same: a connection that died without a
#: word would never tell.
LOOK_INTERVAL_S = 5.0
#: Once no caller has waited for so long, listening ends.
LINGER_S = 10.0


class News(ABC):
    """What one transport hears; it listens from when a caller first waits.

    Args:
        server: what messages call it.
        head: asks the server for the newest revision.
    """

    def __init__(self, server: str, head: Callable[[], Awaitable[int]]) -> None:
        self._server = server
        self._ask_head = head
        self._heard = 0
        self._waiter: asyncio.Future[None] | None = None
        self._idle_since = 0.0

    async def wait_above(self, revision: int) -> int:
        """The head once it is above `revision`; one caller at a time.

        Raises:
            ConnectionLost: the connection that listens broke.
        """
        loop = asyncio.get_running_loop()
        self._idle_since = loop.time()  # A caller waits from now on.
        await self._listen()
        # What was told before it listened was not heard.
        self._heard = max(self._heard, await self._ask_head())
        try:
            while self._heard <= revision:
                self._waiter = loop.create_future()
                if not self._listens:
                    raise self._broken()  # It ended between two waits.
                try:
                    async with asyncio.timeout(LOOK_INTERVAL_S):
                        await self._waiter
                except TimeoutError:
                    head = await self._ask_head()
                    if head > self._heard:
                        self._heard = head
                        await self.close()  # It may be deaf: make another one.
                        await self._listen()
            return self._heard
        finally:
            self._waiter = None
            self._idle_since = loop.time()

    @abstractmethod
    async def close(self) -> None:
        """Stop listening."""

    @property
    @abstractmethod
    def _listens(self) -> bool:
        """Whether a connection listens now."""

    @abstractmethod
    async def _listen(self) -> None:
        """Have a connection listen, unless one does."""

    def _told(self, revision: int) -> None:
        """The connection heard of a commit."""
        self._heard = max(self._heard, revision)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _lost(self, failure: ConnectionLost) -> None:
        """The connection broke: the caller that waits is told."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(failure)
            self._waiter.exception()  # It may have stopped waiting meanwhile.

    @property
    def _idle(self) -> bool:
        """Whether no caller has waited for a while."""
        since = asyncio.get_running_loop().time() - self._idle_since
        return self._waiter is None and self._idle_since > 0 and since > LINGER_S

    def _broken(self) -> ConnectionLost:
        return ConnectionLost(f"the connection that hears of commits on {self._server} broke")
