"""Hearing of commits: the server publishes each one's revision, and one connection listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.engines.redis.connection import Connection
from holdfast.engines.remote import news

Connect = Callable[[Callable[[list[Any]], None]], Awaitable[Connection]]


class News(news.News):
    """The subscription of one transport.

    Args:
        channel: that commits are published on.
        connect: makes a connection to the same server whose messages are heard.
        head: asks the server for the newest revision.
    """

    def __init__(
        self, channel: bytes, connect: Connect, head: Callable[[], Awaitable[int]]
    ) -> None:
        super().__init__("Redis", head)
        self._channel = channel
        self._connect = connect
        self._connection: Connection | None = None
        self._subscribed: asyncio.Future[None] | None = None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # --- Inside -----------------------------------------------------------------------------

    @property
    def _listens(self) -> bool:
        return self._connection is not None and not self._connection.lost

    async def _listen(self) -> None:
        if not self._listens:
            self._subscribed = asyncio.get_running_loop().create_future()
            connection = self._connection = await self._connect(self._hear)
            connection.send("SSUBSCRIBE", self._channel)
        # Also where a caller that was cancelled sent it: until then nothing is heard.
        assert self._subscribed is not None
        await asyncio.shield(self._subscribed)

    def _hear(self, message: list[Any]) -> None:
        kind = message[0] if message else b""
        if kind == b"smessage":
            self._told(int(message[2]))
            if self._idle:
                self._end()
        elif kind == b"ssubscribe":
            if self._subscribed is not None and not self._subscribed.done():
                self._subscribed.set_result(None)
        else:
            # The connection broke, or the slot of the channel went to another node.
            failure = self._broken()
            self._lost(failure)
            if self._subscribed is not None and not self._subscribed.done():
                self._subscribed.set_exception(failure)
                self._subscribed.exception()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
