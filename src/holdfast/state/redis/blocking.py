"""Connections for reads that block: each has one to itself, so that nobody waits behind it."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.contract.errors import ConnectionLost, Overloaded, StoreClosed
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.connection import Resolve
from holdfast.state.redis.link import Link, Word, connect

#: Connections that are kept for the next read.
IDLE_MAX = 8


class BlockingReads:
    """The connections of one loop for reads that block."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, resolve: Resolve
    ) -> None:
        self._loop = loop
        self._config = config
        self._resolve = resolve
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._reads = 0
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a read blocks, or is about to."""
        return self._reads > 0

    async def read(self, words: tuple[Word, ...], block_ms: int) -> Any:
        """The reply, or None when the server gave none within `block_ms`.

        A link whose read is cancelled is thrown away: its reply may still come.

        Raises:
            Overloaded: too many reads block already.
        """
        if self._reads >= self._config.blocking_max:
            raise Overloaded(
                f"{self._config.blocking_max} reads block already, each on a connection of its own "
                "(blocking_max); read in fewer places, or raise the limit",
                limit=self._config.blocking_max,
            )
        self._reads += 1
        link: Link | None = None
        try:
            link = await self._take()
            if self._closed:
                raise StoreClosed("the adapter was closed while it connected; make another one")
            self._busy.add(link)
            async with asyncio.timeout(block_ms / 1000 + self._config.timeout_s):
                reply = await link.send(words, reads=True)
            if not self._closed and len(self._idle) < IDLE_MAX:
                self._busy.discard(link)
                self._idle.append(link)
                link = None
        except TimeoutError as error:
            # The server said neither yes nor no: the way to it is dead.
            raise ConnectionLost("the server did not end a read that blocks; read again") from error
        finally:
            self._reads -= 1
            if link is not None:
                self._busy.discard(link)
                link.abort()
        return reply

    def close(self) -> None:
        """Break off what blocks, for good."""
        self._closed = True
        self.abandon()

    def abandon(self) -> None:
        """Break off what blocks."""
        for link in (*self._idle, *self._busy):
            link.abort()
        self._idle.clear()

    async def _take(self) -> Link:
        if self._closed:
            raise StoreClosed("the adapter was closed; make another one")
        while self._idle:
            link = self._idle.pop()
            if not link.lost:
                return link
        config = await self._resolve()
        # Its replies may take as long as the read blocks, so it has no time-out of its own.
        patient = _Patient(self._loop, config, lambda _: None)
        return await connect(config, lambda: patient)


class _Patient(Link):
    def _look(self) -> None:
        self._watch = None
