"""Subscriptions of one loop: one connection of their own, restored whenever it is lost.

What is wanted is kept here and is the only truth: after each loss all of it is subscribed anew, and
who listens is told that messages may have been missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any, NamedTuple, cast

from holdfast.contract.errors import ConnectionLost, StoreClosed, StoreError
from holdfast.state.adapter import Deliver, Gap, Unsubscribe
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.connection import Resolve
from holdfast.state.redis.link import Link, ListeningLink, connect

#: The first pause before another attempt to connect; it doubles up to the configured one.
BACKOFF_S = 0.05


class _Listener(NamedTuple):
    deliver: Deliver
    gap: Gap


class _Channel:
    """What is wanted of one channel or pattern."""

    def __init__(self, name: bytes, *, wildcard: bool) -> None:
        self.name = name
        self.wildcard = wildcard
        self.listeners: dict[int, _Listener] = {}
        #: The server's word that it subscribes, on the present connection.
        self.confirmed: asyncio.Future[Any] | None = None

    @property
    def subscribe(self) -> tuple[str, bytes]:
        return ("PSUBSCRIBE" if self.wildcard else "SUBSCRIBE", self.name)

    @property
    def unsubscribe(self) -> tuple[str, bytes]:
        return ("PUNSUBSCRIBE" if self.wildcard else "UNSUBSCRIBE", self.name)


class Subscriber:
    """The subscriptions of one loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, resolve: Resolve
    ) -> None:
        self._loop = loop
        self._config = config
        self._resolve = resolve
        self._channels: dict[tuple[bool, bytes], _Channel] = {}
        self._numbers = 0
        self._link: Link | None = None
        #: A connection was lost, and who listens has not been told.
        self._lost = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    async def subscribe(
        self, channel: str, deliver: Deliver, gap: Gap, *, wildcard: bool
    ) -> Unsubscribe:
        """Hear a channel; the server has confirmed it when this returns."""
        place = (wildcard, channel.encode())
        found = self._channels.get(place)
        if found is None:
            found = self._channels[place] = _Channel(place[1], wildcard=wildcard)
        self._numbers += 1
        number = self._numbers
        found.listeners[number] = _Listener(deliver, gap)
        try:
            link = await self._connected()
            if found.confirmed is None:
                found.confirmed = link.send(found.subscribe, reads=True)
            # Shared by all who wait for it, so that one who is cancelled does not end it.
            await asyncio.shield(found.confirmed)
        except BaseException:
            await self._remove(place, number)
            raise
        return partial(self._remove, place, number)

    def abandon(self) -> None:
        """Break the connection off."""
        if self._link is not None:
            self._link.abort()

    async def close(self) -> None:
        """Hear nothing more."""
        self._closed = True
        self._channels.clear()
        if self._upkeep is not None and self._upkeep is not asyncio.current_task():
            self._upkeep.cancel()
            await asyncio.wait([self._upkeep])
        if self._link is not None:
            self._link.abort()

    # --- Inside -----------------------------------------------------------------------------

    async def _remove(self, place: tuple[bool, bytes], number: int) -> None:
        found = self._channels.get(place)
        if found is None or found.listeners.pop(number, None) is None or found.listeners:
            return
        del self._channels[place]
        link = self._link
        if link is None or link.lost:
            return
        if found.confirmed is not None:
            with contextlib.suppress(StoreError):
                await link.send(found.unsubscribe, reads=True)

    async def _connected(self) -> Link:
        async with self._connecting:
            if self._closed:
                raise StoreClosed("the adapter was closed; make another one")
            if self._link is None or self._link.lost:
                await self._connect()
            if self._upkeep is None or self._upkeep.done():
                self._upkeep = self._loop.create_task(self._keep(), name="holdfast redis listen")
            return cast("Link", self._link)

    async def _connect(self) -> None:
        config = await self._resolve()
        link = ListeningLink(self._loop, config, self._ended, self._hear)
        await connect(config, lambda: link)
        if self._closed:
            link.abort()
            raise StoreClosed("the adapter was closed while it connected; make another one")
        self._link = link
        if link.lost:
            self._ended(link)
            raise ConnectionLost("the connection was lost as soon as it was made")
        # All at once; a loss in the middle leaves the set as it is for the next attempt.
        for channel in self._channels.values():
            channel.confirmed = link.send(channel.subscribe, reads=True)

    def _ended(self, link: Link) -> None:
        if link is self._link:
            if self._channels:
                self._lost.set()
            for channel in self._channels.values():
                channel.confirmed = None

    async def _keep(self) -> None:
        """Ask an idle connection whether it lives, and restore one that was lost."""
        pause_s = BACKOFF_S
        while self._channels:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.ping_s):
                    await self._lost.wait()
            link = self._link
            if not self._lost.is_set():
                if link is not None and not link.lost:
                    link.send(("PING",), reads=True)
                continue
            try:
                async with self._connecting:
                    # A caller that subscribes may have restored it, and tells nobody else.
                    if self._link is None or self._link.lost:
                        await self._connect()
                    self._lost.clear()
                await self._confirmed()
            except StoreError:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._config.backoff_max_s)
                continue
            pause_s = BACKOFF_S
            for channel in list(self._channels.values()):
                for listener in list(channel.listeners.values()):
                    listener.gap()

    async def _confirmed(self) -> None:
        for channel in list(self._channels.values()):
            if channel.confirmed is None:
                raise ConnectionLost("the connection was lost while subscriptions were restored")
            # A user who may no longer hear one channel still hears the others.
            try:
                await asyncio.shield(channel.confirmed)
            except ConnectionLost:
                raise
            except StoreError:
                continue

    def _hear(self, message: list[Any]) -> None:
        wildcard = message[0] == b"pmessage"
        found = self._channels.get((wildcard, message[1]))
        if found is None:
            return
        channel = message[-2].decode(errors="replace")
        for listener in list(found.listeners.values()):
            listener.deliver(channel, message[-1])
