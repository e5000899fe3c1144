"""Hearing of commits: the server publishes each one's revision, and one connection listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.contract.errors import ConnectionLost
from holdfast.engines.redis.connection import Connection

#: How often somebody who waits asks for the head all the same: a connection that died without a
#: word would never tell.
LOOK_INTERVAL_S = 5.0
#: Once nobody has waited for so long, the next message ends the subscription.
LINGER_S = 10.0

Connect = Callable[[Callable[[list[Any]], None]], Awaitable[Connection]]


class News:
    """The subscription of one transport; made when somebody first waits.

    Args:
        channel: that commits are published on.
        connect: makes a connection to the same server whose messages are heard.
        head: asks the server for the newest revision.
    """

    def __init__(
        self, channel: bytes, connect: Connect, head: Callable[[], Awaitable[int]]
    ) -> None:
        self._channel = channel
        self._connect = connect
        self._ask_head = head
        self._connection: Connection | None = None
        self._subscribed: asyncio.Future[None] | None = None
        self._heard = 0
        self._waiter: asyncio.Future[None] | None = None
        self._idle_since = 0.0

    async def wait_above(self, revision: int) -> int:
        """The head once it is above `revision`; one caller at a time.

        Raises:
            ConnectionLost: the subscription broke.
        """
        loop = asyncio.get_running_loop()
        self._idle_since = loop.time()  # Somebody waits from now on.
        await self._subscribe()
        # What was published before the subscription was heard by nobody.
        self._heard = max(self._heard, await self._ask_head())
        try:
            while self._heard <= revision:
                if self._connection is None or self._connection.lost:
                    raise _broken()  # It broke between two waits.
                self._waiter = loop.create_future()
                try:
                    async with asyncio.timeout(LOOK_INTERVAL_S):
                        await self._waiter
                except TimeoutError:
                    head = await self._ask_head()
                    if head > self._heard:
                        self._heard = head
                        await self.close()  # It may be deaf: make another one.
                        await self._subscribe()
            return self._heard
        finally:
            self._waiter = None
            self._idle_since = loop.time()

    async def close(self) -> None:
        """Let go of the subscription."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # --- Inside -----------------------------------------------------------------------------

    async def _subscribe(self) -> None:
        if self._connection is not None and not self._connection.lost:
            return
        self._subscribed = asyncio.get_running_loop().create_future()
        connection = self._connection = await self._connect(self._hear)
        connection.send("SSUBSCRIBE", self._channel)
        await self._subscribed

    def _hear(self, message: list[Any]) -> None:
        kind = message[0] if message else b""
        if kind == b"smessage":
            self._heard = max(self._heard, int(message[2]))
            if self._waiter is None:
                self._end_when_idle()
            elif not self._waiter.done():
                self._waiter.set_result(None)
        elif kind == b"ssubscribe":
            if self._subscribed is not None and not self._subscribed.done():
                self._subscribed.set_result(None)
        else:
            self._lose()

    def _end_when_idle(self) -> None:
        connection = self._connection
        if (
            connection is not None
            and asyncio.get_running_loop().time() - self._idle_since > LINGER_S
        ):
            self._connection = None
            connection.abort()

    def _lose(self) -> None:
        """The connection broke, or the slot of the channel went to another node."""
        for future in (self._subscribed, self._waiter):
            if future is not None and not future.done():
                future.set_exception(_broken())
                future.exception()


def _broken() -> ConnectionLost:
    return ConnectionLost("the connection that hears of commits on Redis broke")
