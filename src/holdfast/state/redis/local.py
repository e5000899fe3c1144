"""Values kept in this process, and dropped as soon as the server says that they changed.

The server tells of every change below the adapter's prefixes, whoever makes it (server-assisted
tracking, broadcasting mode). While that line is down nothing is kept, and every read asks the
server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import hiredis

from holdfast.contract.errors import ConfigInvalid, StoreError
from holdfast.state.adapter import BatchWrite, Condition
from holdfast.state.keys import DEFAULT_PREFIX
from holdfast.state.redis.adapter import LoopState, RedisAdapter
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.connection import Resolve
from holdfast.state.redis.link import Link, connect

#: How often the line that changes are told on is asked whether it lives, in seconds.
PING_S = 1.0
#: The first pause before another attempt to restore it; it doubles up to the configured one.
BACKOFF_S = 0.05
#: Values and bytes that are kept for each loop, unless told otherwise.
ITEMS_MAX = 10_000
BYTES_MAX = 64 * 1024 * 1024
_KEY_COST = 200


class _Kept(NamedTuple):
    value: bytes
    until: float


class LocalValues:
    """The kept values of one loop, the least used dropped first.

    Attributes:
        live: whether the server tells of changes now.
        hits: reads that were answered here.
        misses: reads that asked the server.
    """

    def __init__(self, items_max: int, bytes_max: int) -> None:
        self.live = False
        self.hits = self.misses = 0
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        #: Reads on their way; one that a change overtakes is not kept.
        self._reading: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: str, now: float) -> bytes | None:
        """The value, if it is kept and has not expired."""
        kept = self._kept.get(key)
        if kept is None or kept.until <= now:
            self.misses += 1
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return kept.value

    def reads(self, key: str) -> object:
        """A read of this key begins; give what this returns to `keep`."""
        mark = self._reading[key] = object()
        return mark

    def keep(self, key: str, mark: object, value: bytes | None, until: float) -> None:
        """A read has come; keep it unless the key changed meanwhile."""
        if self._reading.get(key) is not mark:
            return
        del self._reading[key]
        if value is None or not self.live:
            return
        self.drop(key)
        self._kept[key] = _Kept(value, until)
        self._bytes += len(value) + len(key) + _KEY_COST
        while self._kept and (len(self._kept) > self._items_max or self._bytes > self._bytes_max):
            self.drop(next(iter(self._kept)))

    def drop(self, key: str) -> None:
        """The key changed."""
        self._reading.pop(key, None)
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.value) + len(key) + _KEY_COST

    def clear(self) -> None:
        """Anything may have changed."""
        self._kept.clear()
        self._reading.clear()
        self._bytes = 0


class _TrackingLink(Link):
    """A connection on which the server tells of changes, between replies."""

    pushes = True
    changed: Callable[[list[bytes] | None], None]

    def pushed(self, reply: Any) -> bool:
        if type(reply) is not hiredis.PushNotification:
            return False
        if reply and reply[0] == b"invalidate":
            self.changed(reply[1])
        return True


class Tracker:
    """Keeps the line open that changes are told on, for one loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: RedisConfig,
        resolve: Resolve,
        prefixes: Sequence[str],
        values: LocalValues,
    ) -> None:
        self._loop = loop
        self._config = config
        self._resolve = resolve
        self._prefixes = prefixes
        self._values = values
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Open the line, in the background."""
        if self._upkeep is None:
            self._upkeep = self._loop.create_task(self._keep(), name="holdfast redis tracking")

    def end(self) -> None:
        """Close the line; nothing is kept any more."""
        self._down()
        if self._upkeep is not None:
            self._upkeep.cancel()
        if self._link is not None:
            self._link.abort()

    async def _keep(self) -> None:
        pause_s = BACKOFF_S
        while True:
            try:
                await self._open()
                pause_s = BACKOFF_S
                while self._link is not None and not self._link.lost:
                    with contextlib.suppress(TimeoutError):
                        # A line that is known to be lost is opened anew at once.
                        await asyncio.wait_for(self._lost.wait(), PING_S)
                    await self._link.send(("PING",), reads=True)
            except StoreError:
                pass
            self._down()
            if self._link is not None:
                # Of no use any more, also when it was the server that said no.
                self._link.abort()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._config.backoff_max_s)

    async def _open(self) -> None:
        config = await self._resolve()
        self._lost.clear()
        link = _TrackingLink(self._loop, config, lambda _: self._down())
        link.changed = self._changed
        await connect(config, lambda: link)
        self._link = link
        prefixes: list[str] = []
        for prefix in self._prefixes:
            prefixes += ("PREFIX", prefix)
        await link.send(("HELLO", 3), reads=True)
        await link.send(("CLIENT", "TRACKING", "ON", "BCAST", *prefixes), reads=True)
        if not link.lost:
            self._values.clear()
            self._values.live = True

    def _down(self) -> None:
        self._lost.set()
        self._values.live = False
        self._values.clear()

    def _changed(self, keys: list[bytes] | None) -> None:
        if keys is None:
            self._values.clear()
            return
        for key in keys:
            self._values.drop(key.decode(errors="replace"))


class LocalRedisAdapter(RedisAdapter):
    """State on a Redis server, with values that are read often kept in this process.

    A value that another process changes is dropped within a round trip; one's own writes are seen
    at once. If the line breaks without a word, old values are given out for at most
    `PING_S + timeout_s`.

    Args:
        config: where the server is.
        prefixes: what the keys of the store begin with; none may begin with another one.
        items_max: values kept for each loop.
        bytes_max: bytes kept for each loop.
    """

    name = "redis, local values"

    def __init__(
        self,
        config: RedisConfig,
        *,
        prefixes: Sequence[str] = (DEFAULT_PREFIX + ":", "{" + DEFAULT_PREFIX + ":"),
        items_max: int = ITEMS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        super().__init__(config)
        if isinstance(prefixes, str) or not prefixes or items_max < 1 or bytes_max < 1:
            raise ConfigInvalid("a list of prefixes and limits of at least one were wanted")
        self.prefixes = tuple(prefixes)
        self._limits = items_max, bytes_max

    @property
    def local(self) -> LocalValues:
        """What is kept for the running loop."""
        return self._local().values

    def _make(self, loop: asyncio.AbstractEventLoop) -> _LocalState:
        return _LocalState(loop, self.config, self, self._limits)

    def _local(self) -> _LocalState:
        here = self._connections.here()
        assert isinstance(here, _LocalState)
        return here

    async def get(self, key: str) -> bytes | None:
        here = self._local()
        values = here.values
        if not values.live or not key.startswith(self.prefixes):
            here.tracker.begin()
            return await super().get(key)
        loop = asyncio.get_running_loop()
        found = values.find(key, loop.time())
        if found is not None:
            return found
        [value] = await self._fetch(values, [key], self._one(key))
        return value

    async def _one(self, key: str) -> list[bytes | None]:
        return [await super().get(key)]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        here = self._local()
        values = here.values
        if not values.live or not all(key.startswith(self.prefixes) for key in keys):
            here.tracker.begin()
            return await super().get_many(keys)
        now = asyncio.get_running_loop().time()
        kept = {key: values.find(key, now) for key in keys}
        missing = [key for key, value in kept.items() if value is None]
        if missing:
            fetched = await self._fetch(values, missing, super().get_many(missing))
            kept.update(zip(missing, fetched, strict=True))
        return [kept[key] for key in keys]

    async def _fetch(
        self, values: LocalValues, keys: list[str], asking: Awaitable[list[bytes | None]]
    ) -> list[bytes | None]:
        """Ask the server for these, and keep what it says for as long as it may be kept."""
        asked_at = asyncio.get_running_loop().time()
        marks = [values.reads(key) for key in keys]
        reading = asyncio.ensure_future(asking)
        # In the same packet: how long they may be kept.
        lasting = [asyncio.ensure_future(self._read("PTTL", key)) for key in keys]
        try:
            left = await asyncio.gather(*lasting)
            found = await reading
        except BaseException:
            for one in (reading, *lasting):
                one.cancel()
            await asyncio.gather(reading, *lasting, return_exceptions=True)
            for key in keys:
                values.drop(key)
            raise
        for key, mark, value, span in zip(keys, marks, found, left, strict=True):
            until = asked_at + span / 1000 if span >= 0 else float("inf")
            values.keep(key, mark, value, until)
        return found

    # --- Own writes are seen at once --------------------------------------------------------

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl_ms: int = 0,
        keep_ttl: bool = False,
        condition: Condition = "always",
    ) -> bool:
        with self._written(key):
            return await super().set(
                key, value, ttl_ms=ttl_ms, keep_ttl=keep_ttl, condition=condition
            )

    async def set_fenced(
        self, key: str, value: bytes, claim: str, holder: bytes, *, ttl_ms: int, keep_ttl: bool
    ) -> bytes | Literal[True] | None:
        with self._written(key):
            return await super().set_fenced(
                key, value, claim, holder, ttl_ms=ttl_ms, keep_ttl=keep_ttl
            )

    async def delete(self, keys: Sequence[str]) -> int:
        with self._written(*keys):
            return await super().delete(keys)

    async def expire(self, key: str, ttl_ms: int) -> bool:
        with self._written(key):
            return await super().expire(key, ttl_ms)

    async def set_many(self, writes: Sequence[BatchWrite]) -> None:
        with self._written(*(write.key for write in writes)):
            await super().set_many(writes)

    async def add(self, key: str, by: int) -> int:
        with self._written(key):
            return await super().add(key, by)

    async def add_within(
        self,
        key: str,
        by: int,
        *,
        ttl_ms: int,
        ttl_always: bool,
        minimum: int | None,
        maximum: int | None,
    ) -> int | None:
        with self._written(key):
            return await super().add_within(
                key, by, ttl_ms=ttl_ms, ttl_always=ttl_always, minimum=minimum, maximum=maximum
            )

    async def claim(
        self, key: str, fence: str, before: bytes, after: bytes, ttl_ms: int
    ) -> int | None:
        with self._written(key, fence):
            return await super().claim(key, fence, before, after, ttl_ms)

    async def delete_if(self, key: str, value: bytes) -> bool:
        with self._written(key):
            return await super().delete_if(key, value)

    async def expire_if(self, key: str, value: bytes, ttl_ms: int) -> bool:
        with self._written(key):
            return await super().expire_if(key, value, ttl_ms)

    @contextlib.contextmanager
    def _written(self, *keys: str) -> Iterator[None]:
        try:
            yield
        finally:
            # Also when it failed: it may have happened.
            values = self.local
            for key in keys:
                values.drop(key)


class _LocalState(LoopState):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: RedisConfig,
        adapter: LocalRedisAdapter,
        limits: tuple[int, int],
    ) -> None:
        super().__init__(loop, config, adapter)
        self.values = LocalValues(*limits)
        self.tracker = Tracker(loop, config, self.resolve, adapter.prefixes, self.values)

    def abandon(self) -> None:
        super().abandon()
        self.tracker.end()

    async def close(self) -> None:
        self.tracker.end()
        await super().close()
