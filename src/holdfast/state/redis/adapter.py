"""`RedisAdapter`: state on a Redis server, in Redis's own types."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Literal, Self

from holdfast.contract.errors import StoreError, ValueTooLarge
from holdfast.state.adapter import (
    BatchWrite,
    Condition,
    Deliver,
    Delivered,
    Gap,
    Pending,
    ScanPage,
    Unsubscribe,
    Verdict,
)
from holdfast.state.checks import bad_cursor, is_cursor
from holdfast.state.limits import VALUE_BYTES_MAX
from holdfast.state.redis import scripts
from holdfast.state.redis.blocking import BlockingReads
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.connection import Connections, LoopConnection
from holdfast.state.redis.filtering import RedisFilters
from holdfast.state.redis.link import Word
from holdfast.state.redis.subscriber import Subscriber

#: The field of a stream's entry that holds the message.
_FIELD = b"data"
_CONDITIONS: dict[Condition, tuple[str, ...]] = {
    "always": (), "absent": ("NX",), "present": ("XX",),
}  # fmt: skip


class RedisAdapter(RedisFilters):
    """State on one Redis server. It connects when it is first used, once for each event loop.

    Args:
        config: where the server is.
    """

    name = "redis"
    needs_loop = True

    def __init__(self, config: RedisConfig) -> None:
        self.config = config
        self._connections = Connections(self._make)

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """The adapter for a URL; keyword arguments are those of `RedisConfig`.

        Raises:
            ConfigInvalid: the URL or a setting cannot be understood.
        """
        return cls(RedisConfig.from_url(url, **settings))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config.url!r})"

    @property
    def client(self) -> LoopConnection:
        """The connection of the running loop: `await adapter.client.send(("PING",))`."""
        return self._connections.here()

    async def close(self) -> None:
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def resolve(self) -> RedisConfig:
        """Where the server is now."""
        return self.config

    def _make(self, loop: asyncio.AbstractEventLoop) -> LoopState:
        return LoopState(loop, self.config, self)

    def _send(self, *words: Word) -> Awaitable[Any]:
        return self._connections.here().send(words)

    def _read(self, *words: Word) -> Awaitable[Any]:
        return self._connections.here().send(words, reads=True)

    async def _run(self, script: scripts.Script, keys: Sequence[str], *arguments: Word) -> Any:
        return await script.run(self._connections.here(), keys, arguments)

    # --- Values -----------------------------------------------------------------------------

    def get(self, key: str) -> Awaitable[bytes | None]:
        return self._connections.here().send(("GET", key), reads=True)

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl_ms: int = 0,
        keep_ttl: bool = False,
        condition: Condition = "always",
    ) -> bool:
        if len(value) > VALUE_BYTES_MAX:
            raise ValueTooLarge(
                f"a value has at most {VALUE_BYTES_MAX} bytes; found {len(value)}. Split it",
                limit=VALUE_BYTES_MAX,
                found=len(value),
            )
        words: tuple[Word, ...] = ("SET", key, value)
        if ttl_ms:
            words += ("PX", ttl_ms)
        elif keep_ttl:
            words += ("KEEPTTL",)
        if condition != "always":
            words += _CONDITIONS[condition]
        return await self._connections.here().send(words) is not None

    async def set_fenced(
        self, key: str, value: bytes, claim: str, holder: bytes, *, ttl_ms: int, keep_ttl: bool
    ) -> bytes | Literal[True] | None:
        written, found = await self._run(
            scripts.SET_FENCED, (key, claim), value, holder, ttl_ms, int(keep_ttl)
        )
        return True if written else found

    async def delete(self, keys: Sequence[str]) -> int:
        return int(await self._send("UNLINK", *keys)) if keys else 0

    async def has(self, key: str) -> bool:
        return bool(await self._read("EXISTS", key) == 1)

    async def expire(self, key: str, ttl_ms: int) -> bool:
        return bool(await self._send("PEXPIRE", key, ttl_ms) == 1)

    async def remaining_ms(self, key: str) -> int | None:
        left = await self._read("PTTL", key)
        return None if left == -2 else max(left, 0) if left != -1 else 0  # noqa: PLR2004

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = await self._read("MGET", *keys)
        return found

    async def set_many(self, writes: Sequence[BatchWrite]) -> None:
        plain: list[Word] = []
        commands: list[tuple[Word, ...]] = []
        for key, value, ttl_ms in writes:
            if ttl_ms:
                commands.append(("SET", key, value, "PX", ttl_ms))
            else:
                plain += (key, value)
        if not commands:
            await self._send("MSET", *plain)
            return
        if len(commands) < len(writes):
            # In the order they were given: of two writes to one key the later one stands.
            commands = [
                ("SET", key, value, "PX", ttl_ms) if ttl_ms else ("SET", key, value)
                for key, value, ttl_ms in writes
            ]
        await self._connections.here().transaction(commands)

    # --- Counters ---------------------------------------------------------------------------

    def add(self, key: str, by: int) -> Awaitable[int]:
        return self._connections.here().send(("INCRBY", key, by))

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
        limits = ["" if one is None else one for one in (minimum, maximum)]
        found = await self._run(scripts.ADD_WITHIN, (key,), by, ttl_ms, int(ttl_always), *limits)
        return None if found is None else int(found)

    # --- Claims -----------------------------------------------------------------------------

    async def claim(
        self, key: str, fence: str, before: bytes, after: bytes, ttl_ms: int
    ) -> int | None:
        token: int | None = await self._run(scripts.CLAIM, (key, fence), before, after, ttl_ms)
        return token

    async def delete_if(self, key: str, value: bytes) -> bool:
        return bool(await self._run(scripts.DELETE_IF, (key,), value))

    async def expire_if(self, key: str, value: bytes, ttl_ms: int) -> bool:
        return bool(await self._run(scripts.EXPIRE_IF, (key,), value, ttl_ms))

    # --- Channels ---------------------------------------------------------------------------

    def publish(self, channel: str, data: bytes) -> Awaitable[int]:
        return self._connections.here().send(("PUBLISH", channel, data))

    async def subscribe(
        self, channel: str, deliver: Deliver, gap: Gap, *, wildcard: bool = False
    ) -> Unsubscribe:
        subscriber = self._here().subscriber
        return await subscriber.subscribe(channel, deliver, gap, wildcard=wildcard)

    # --- Streams ----------------------------------------------------------------------------

    async def append(
        self, stream: str, data: bytes, *, length_max: int = 0, approximate: bool = False
    ) -> str:
        words: tuple[Word, ...] = ("XADD", stream)
        if length_max:
            words += ("MAXLEN", "~" if approximate else "=", length_max)
        id: bytes = await self._connections.here().send((*words, "*", _FIELD, data))
        return id.decode()

    async def ensure_group(self, stream: str, group: str, start: str) -> bool:
        try:
            await self._send("XGROUP", "CREATE", stream, group, start, "MKSTREAM")
        except StoreError as error:
            if error.details.get("reply") != "BUSYGROUP":
                raise
            return False
        return True

    async def read_group(
        self, stream: str, group: str, consumer: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        start: tuple[Word, ...] = ("XREADGROUP", "GROUP", group, consumer, "COUNT", count)
        return _streams(await self._stream_read(start, ("STREAMS", stream, ">"), block_ms))

    async def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> int:
        return int(await self._send("XACK", stream, group, *ids)) if ids else 0

    async def pending(self, stream: str, group: str, *, count: int) -> list[Pending]:
        found = await self._read("XPENDING", stream, group, "-", "+", count)
        return [
            Pending(id.decode(), consumer.decode(), idle_ms, deliveries)
            for id, consumer, idle_ms, deliveries in found
        ]

    async def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Delivered]:
        found = await self._run(scripts.RECLAIM, (stream,), group, consumer, idle_ms, count)
        return [Delivered(id.decode(), _data(fields), times) for id, fields, times in found]

    async def read_after(
        self, stream: str, after: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        start: tuple[Word, ...] = ("XREAD", "COUNT", count)
        return _streams(await self._stream_read(start, ("STREAMS", stream, after), block_ms))

    async def read_last(self, stream: str, count: int) -> list[Delivered]:
        found = await self._read("XREVRANGE", stream, "+", "-", "COUNT", count)
        return [Delivered(id.decode(), _data(fields)) for id, fields in reversed(found)]

    async def length(self, stream: str) -> int:
        return int(await self._read("XLEN", stream))

    async def move(self, stream: str, group: str, id: str, to: str, data: bytes) -> str:
        moved: bytes = await self._run(scripts.MOVE, (stream, to), group, id, data)
        return moved.decode()

    async def append_once(
        self,
        stream: str,
        once: str,
        data: bytes,
        *,
        ttl_ms: int,
        length_max: int = 0,
        approximate: bool = False,
    ) -> tuple[str, bool]:
        trim = "~" if approximate else "="
        id, appended = await self._run(
            scripts.APPEND_ONCE, (stream, once), data, ttl_ms, length_max, trim
        )
        return id.decode(), bool(appended)

    async def postpone(self, later: str, id: bytes, data: bytes, delay_ms: int) -> None:
        await self._run(scripts.POSTPONE, (later,), id, data, delay_ms)

    async def release_due(self, stream: str, later: str, count: int) -> tuple[int, int | None]:
        released, left = await self._run(scripts.RELEASE_DUE, (stream, later), count)
        return released, None if left < 0 else left

    async def _stream_read(
        self, start: tuple[Word, ...], streams: tuple[Word, ...], block_ms: int
    ) -> Any:
        if not block_ms:
            return await self._send(*start, *streams)
        return await self._here().blocking.read((*start, "BLOCK", block_ms, *streams), block_ms)

    # --- Limits and members -----------------------------------------------------------------

    async def limit_fixed(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        return _verdict(await self._run(scripts.LIMIT_FIXED, (key,), limit, window_ms, cost))

    async def limit_sliding(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        return _verdict(await self._run(scripts.LIMIT_SLIDING, (key,), limit, window_ms, cost))

    async def limit_bucket(self, key: str, capacity: int, refill_ms: float, cost: int) -> Verdict:
        answer = await self._run(scripts.LIMIT_BUCKET, (key,), capacity, repr(refill_ms), cost)
        return _verdict(answer)

    async def join(
        self, key: str, member: str, ttl_ms: int, *, members_max: int = 0, renew: bool = False
    ) -> bool:
        return bool(await self._run(scripts.JOIN, (key,), member, ttl_ms, members_max, int(renew)))

    async def leave(self, key: str, member: str) -> bool:
        return bool(await self._run(scripts.LEAVE, (key,), member))

    async def members(self, key: str) -> list[tuple[str, int]]:
        found = await self._run(scripts.MEMBERS, (key,))
        return [
            (member.decode(), int(left))
            for member, left in zip(found[::2], found[1::2], strict=True)
        ]

    # --- Looking around ---------------------------------------------------------------------

    async def scan(self, pattern: str, cursor: str, count: int) -> ScanPage:
        if not is_cursor(cursor):
            raise bad_cursor()
        following, keys = await self._read("SCAN", cursor, "MATCH", pattern, "COUNT", count)
        return ScanPage(following.decode(), [key.decode(errors="replace") for key in keys])

    def _here(self) -> LoopState:
        here = self._connections.here()
        assert isinstance(here, LoopState)
        return here


class LoopState(LoopConnection):
    """What belongs to one loop: the shared connection, the subscriber's, the blocking ones."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, adapter: RedisAdapter
    ) -> None:
        super().__init__(loop, config, adapter.resolve)
        self.subscriber = Subscriber(loop, config, self.resolve)
        self.blocking = BlockingReads(loop, config, self.resolve)

    def abandon(self) -> None:
        super().abandon()
        self.blocking.abandon()
        self.subscriber.abandon()

    async def close(self) -> None:
        self.blocking.close()
        await self.subscriber.close()
        await super().close()


def _data(fields: Sequence[bytes] | None) -> bytes | None:
    """The message among the fields of an entry; other writers' entries are made to a map's."""
    if fields is None:
        return None
    for place in range(0, len(fields), 2):
        if fields[place] == _FIELD:
            return fields[place + 1]
    return b""


def _streams(reply: Any) -> list[Delivered]:
    if not reply:
        return []
    [(_, entries)] = reply
    return [Delivered(id.decode(), _data(fields)) for id, fields in entries]


def _verdict(answer: Any) -> Verdict:
    allowed, remaining, retry_after_ms = answer
    return Verdict(bool(allowed), remaining, retry_after_ms)
