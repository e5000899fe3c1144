"""The way to the server: one connection for each event loop, shared by all its tasks.

It is made when it is needed and made anew when it was lost; nothing is repeated by itself. A call
that finds the server gone is told at once. What waits for room or for the connection is counted and
limited.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from holdfast.contract.errors import Overloaded, StoreClosed, StoreError
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.link import Link, Word, connect

#: Attempts to connect are at least so far apart; calls in between are told the last failure.
ATTEMPT_PAUSE_S = 0.02

#: Finds where the server is now; a sentinel's answer may differ from one time to the next.
Resolve = Callable[[], Awaitable[RedisConfig]]

_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603 - what a fork invalidates is the process's own
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class LoopConnection:
    """The connection of one loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, resolve: Resolve
    ) -> None:
        self.loop = weakref.ref(loop)
        self.config = config
        self._where = resolve
        self._guard: AsyncGenerator[None, None] | None = None
        #: Called when the loop ends.
        self.forget: Callable[[], None] = lambda: None
        self.closed = False
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        self._failed: StoreError | None = None
        self._failed_at = 0.0
        self._callers = 0
        self.connections_made = 0

    def send(self, words: tuple[Word, ...], *, reads: bool = False) -> Awaitable[Any]:
        """The reply to one command."""
        link = self._link
        if link is not None and not link.lost and link.in_flight < self.config.commands_max:
            return link.send(words, reads=reads)
        return self._patiently(lambda link: link.send(words, reads=reads))

    async def transaction(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """The replies to commands that happen together or not at all."""
        replies: list[Any] = await self._patiently(lambda link: link.transaction(commands))
        return replies

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer or for the connection."""
        in_flight = 0 if self._link is None else self._link.in_flight
        return not in_flight and not self._callers and self._connecting is None

    async def link(self) -> Link:
        """The connection, made if need be.

        Raises:
            ConnectionFailed: the server does not answer.
            StoreClosed: the adapter was closed.
        """
        if self.closed:
            raise StoreClosed("the adapter was closed; make another one")
        link = self._link
        if link is not None and not link.lost:
            return link
        loop = asyncio.get_running_loop()
        if self._connecting is None:
            if self._failed is not None and loop.time() - self._failed_at < ATTEMPT_PAUSE_S:
                raise again(self._failed)
            self._connecting = loop.create_task(self._connect(), name="holdfast redis connect")
            # Callers may all be cancelled: then nobody asks how it ended.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        connecting = self._connecting
        # The attempt is everybody's: a caller that is cancelled does not end it.
        await asyncio.wait([connecting])
        if connecting.cancelled():
            raise StoreClosed("the adapter was closed while it connected; make another one")
        error = connecting.exception()
        if error is not None:
            raise again(error) if isinstance(error, StoreError) else error
        return connecting.result()

    async def resolve(self) -> RedisConfig:
        """Where the server is now. Every connection of the loop is made after asking here."""
        if self._guard is None:
            self._guard = self._until_the_loop_ends()
            await anext(self._guard)
        return await self._where()

    def abandon(self) -> None:
        """Break off every connection of the loop."""
        if self._link is not None:
            self._link.abort()

    async def close(self) -> None:
        """Give the connection up; what is in flight fails."""
        self.closed = True
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        link, self._link = self._link, None
        if link is not None:
            link.abort()
            await asyncio.sleep(0)  # The transport tells its callers in the next turn.

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        # A loop that ends closes the generators it has begun: so callers who forget to close
        # leave no socket behind, and this object does not keep the loop.
        try:
            yield
        finally:
            self.abandon()
            self.forget()

    # --- Inside -----------------------------------------------------------------------------

    async def _patiently(self, send: Callable[[Link], Awaitable[Any]]) -> Any:
        if self._callers >= self.config.callers_max:
            raise Overloaded(
                f"{self.config.callers_max} callers wait for the connection already (callers_max); "
                "send less at once, or raise the limit",
                limit=self.config.callers_max,
            )
        self._callers += 1
        try:
            link = await self.link()
            while link.in_flight >= self.config.commands_max:
                await link.room()
                link = await self.link()
            reply = send(link)
        finally:
            self._callers -= 1
        return await reply

    async def _connect(self) -> Link:
        loop = asyncio.get_running_loop()
        try:
            config = await self.resolve()
            link = await connect(config, lambda: Link(loop, config, self._ended))
        except StoreError as error:
            self._failed, self._failed_at = error, loop.time()
            raise
        finally:
            self._connecting = None
        self.connections_made += 1
        self._failed = None
        self._link = link
        if self.closed:
            link.abort()
        return link

    def _ended(self, link: Link) -> None:
        if self._link is link:
            self._link = None


def again(error: StoreError) -> StoreError:
    """The same failure for another caller, with a traceback of its own."""
    copy = type(error)(error.message, **error.details)
    copy.__cause__ = error
    return copy


class Connections:
    """The connections of one adapter, by loop. A forked child starts with none.

    Args:
        make: makes what belongs to a loop.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], LoopConnection]) -> None:
        self._make = make
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopConnection] = (
            weakref.WeakKeyDictionary()
        )
        self._last: LoopConnection | None = None
        self._forks = _forks
        self.closed = False

    def here(self) -> LoopConnection:
        """The connection of the running loop."""
        loop = asyncio.get_running_loop()
        last = self._last
        if last is not None and last.loop() is loop and self._forks == _forks:
            return last
        if self._forks != _forks:
            # Sockets of the parent are the parent's: they are left alone.
            self._by_loop = weakref.WeakKeyDictionary()
            self._forks = _forks
        if self.closed:
            raise StoreClosed("the adapter was closed; make another one")
        found = self._by_loop.get(loop)
        if found is None:
            found = self._by_loop[loop] = self._make(loop)
            found.forget = partial(self._forget, weakref.ref(loop))
        self._last = found
        return found

    def _forget(self, loop: weakref.ref[asyncio.AbstractEventLoop]) -> None:
        found = loop()
        if found is not None:
            self._by_loop.pop(found, None)
        self._last = None

    async def close(self) -> None:
        """Give up those of this loop; those of others end with their loops."""
        self.closed = True
        self._last = None
        connection = self._by_loop.pop(asyncio.get_running_loop(), None)
        for other in self._by_loop.values():
            other.closed = True
        if connection is not None:
            await connection.close()
