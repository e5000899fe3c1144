"""`MemoryAdapter`: the whole semantics of an adapter in the memory of one process."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from holdfast.contract.errors import InvalidValue, TimedOut
from holdfast.contract.runtime import Completion, Components
from holdfast.runtime.system import system_components
from holdfast.state.adapter import (
    BatchWrite,
    Condition,
    Deliver,
    Delivered,
    Gap,
    Pending,
    ScanPage,
    Unsubscribe,
)
from holdfast.state.checks import bad_cursor, is_cursor
from holdfast.state.globs import compiled
from holdfast.state.limits import COUNTER_MAX, COUNTER_MIN
from holdfast.state.mock.filters import MemoryFilter, MemoryFilters
from holdfast.state.mock.kept import Kept
from holdfast.state.mock.limits import MemoryLimits
from holdfast.state.mock.streams import Stream, parsed

T = TypeVar("T")


class Later(list[tuple[int, bytes, bytes]]):
    """Messages that are not due yet: when they are, an identity, the message."""


class MemoryAdapter(MemoryLimits, MemoryFilters):
    """State of one process. It lives as long as the object, and on the clock it is given.

    Args:
        components: clock and ways to wait; those of the machine unless given.
    """

    name = "memory"

    def __init__(self, components: Components | None = None) -> None:
        super().__init__(components or system_components())
        self._listeners: dict[int, tuple[re.Pattern[str] | str, Deliver]] = {}
        self._numbers = 0

    async def close(self) -> None:
        self._closed = True
        self._listeners.clear()

    # --- Values -----------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        return self._value(key, bytes)

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl_ms: int = 0,
        keep_ttl: bool = False,
        condition: Condition = "always",
    ) -> bool:
        there = self._find(key)
        if condition != "always" and (there is None) != (condition == "absent"):
            return False
        until = there.until_ms if keep_ttl and there is not None else self._until(ttl_ms)
        self._kept[key] = Kept(value, until)
        return True

    async def set_fenced(
        self, key: str, value: bytes, claim: str, holder: bytes, *, ttl_ms: int, keep_ttl: bool
    ) -> bytes | Literal[True] | None:
        found = self._value(claim, bytes)
        if found != holder:
            return found
        await MemoryAdapter.set(self, key, value, ttl_ms=ttl_ms, keep_ttl=keep_ttl)
        return True

    async def delete(self, keys: Sequence[str]) -> int:
        there = [key for key in keys if self._find(key) is not None]
        return sum(self._kept.pop(key, None) is not None for key in there)

    async def has(self, key: str) -> bool:
        return self._find(key) is not None

    async def expire(self, key: str, ttl_ms: int) -> bool:
        there = self._find(key)
        if there is None:
            return False
        there.until_ms = self._until(ttl_ms)
        return True

    async def remaining_ms(self, key: str) -> int | None:
        there = self._find(key)
        if there is None:
            return None
        return there.until_ms - self._clock.now_ms() if there.until_ms else 0

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [
            there.value if there is not None and isinstance(there.value, bytes) else None
            for there in map(self._find, keys)
        ]

    async def set_many(self, writes: Sequence[BatchWrite]) -> None:
        self._check()
        for key, value, ttl_ms in writes:
            self._kept[key] = Kept(value, self._until(ttl_ms))

    # --- Counters ---------------------------------------------------------------------------

    async def add(self, key: str, by: int) -> int:
        there = self._find(key)
        total = self._sum(there, by)
        self._kept[key] = Kept(b"%d" % total, there.until_ms if there is not None else 0)
        return total

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
        there = self._find(key)
        total = self._sum(there, by)
        if (minimum is not None and total < minimum) or (maximum is not None and total > maximum):
            return None
        until = there.until_ms if there is not None else 0
        if ttl_ms and (there is None or ttl_always):
            until = self._until(ttl_ms)
        self._kept[key] = Kept(b"%d" % total, until)
        return total

    # --- Claims -----------------------------------------------------------------------------

    async def claim(
        self, key: str, fence: str, before: bytes, after: bytes, ttl_ms: int
    ) -> int | None:
        if self._find(key) is not None:
            return None
        token = await MemoryAdapter.add(self, fence, 1)
        self._kept[key] = Kept(before + b"%d" % token + after, self._until(ttl_ms))
        return token

    async def delete_if(self, key: str, value: bytes) -> bool:
        if self._value(key, bytes) != value:
            return False
        del self._kept[key]
        return True

    async def expire_if(self, key: str, value: bytes, ttl_ms: int) -> bool:
        if self._value(key, bytes) != value:
            return False
        self._kept[key].until_ms = self._until(ttl_ms)
        return True

    # --- Channels ---------------------------------------------------------------------------

    async def publish(self, channel: str, data: bytes) -> int:
        self._check()
        hearing = [
            deliver
            for wanted, deliver in self._listeners.values()
            if (wanted == channel if isinstance(wanted, str) else wanted.fullmatch(channel))
        ]
        for deliver in hearing:
            deliver(channel, data)
        return len(hearing)

    async def subscribe(
        self, channel: str, deliver: Deliver, gap: Gap, *, wildcard: bool = False
    ) -> Unsubscribe:
        self._check()
        self._numbers += 1
        number = self._numbers
        self._listeners[number] = (compiled(channel) if wildcard else channel, deliver)

        async def unsubscribe() -> None:
            self._listeners.pop(number, None)

        return unsubscribe

    # --- Streams ----------------------------------------------------------------------------

    async def append(
        self, stream: str, data: bytes, *, length_max: int = 0, approximate: bool = False
    ) -> str:
        return self._made(stream).append(data, length_max)

    async def ensure_group(self, stream: str, group: str, start: str) -> bool:
        return self._made(stream).ensure(group, start)

    async def read_group(
        self, stream: str, group: str, consumer: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        return await self._waiting(
            stream, block_ms, lambda: self._stream(stream).give(group, consumer, count)
        )

    async def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> int:
        return self._stream(stream).acknowledge(group, [parsed(id) for id in ids])

    async def pending(self, stream: str, group: str, *, count: int) -> list[Pending]:
        return self._stream(stream).list_pending(group, count)

    async def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Delivered]:
        return self._stream(stream).reclaim(group, consumer, idle_ms, count)

    async def read_after(
        self, stream: str, after: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        start = self._stream(stream).newest if after == "$" else after
        return await self._waiting(
            stream, block_ms, lambda: self._stream(stream).after(start, count)
        )

    async def read_last(self, stream: str, count: int) -> list[Delivered]:
        return self._stream(stream).after("0-0", len(self._stream(stream).entries))[-count:]

    async def length(self, stream: str) -> int:
        return len(self._stream(stream).entries)

    async def move(self, stream: str, group: str, id: str, to: str, data: bytes) -> str:
        source = self._stream(stream)
        moved = self._made(to).append(data, 0)
        source.acknowledge(group, [parsed(id)])
        return moved

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
        there = self._value(once, bytes)
        if there is not None:
            return there.decode(), False
        id = self._made(stream).append(data, length_max)
        self._kept[once] = Kept(id.encode(), self._until(ttl_ms))
        return id, True

    async def postpone(self, later: str, id: bytes, data: bytes, delay_ms: int) -> None:
        waiting = self._value(later, Later) or Later()
        waiting.append((self._clock.now_ms() + delay_ms, id, data))
        waiting.sort()
        self._kept[later] = Kept(waiting)

    async def release_due(self, stream: str, later: str, count: int) -> tuple[int, int | None]:
        waiting = self._value(later, Later) or Later()
        now = self._clock.now_ms()
        due = [one for one in waiting if one[0] <= now][:count]
        for _, _, data in due:
            self._made(stream).append(data, 0)
        del waiting[: len(due)]
        if not waiting:
            self._kept.pop(later, None)
        return len(due), max(waiting[0][0] - now, 0) if waiting else None

    # --- Filters ----------------------------------------------------------------------------

    def _filter(self, key: str) -> MemoryFilter | None:
        return self._value(key, MemoryFilter)

    def _keep_filter(self, key: str, made: MemoryFilter, ttl_ms: int) -> None:
        self._kept[key] = Kept(made, self._until(ttl_ms))

    # --- Looking around ---------------------------------------------------------------------

    async def scan(self, pattern: str, cursor: str, count: int) -> ScanPage:
        wanted = compiled(pattern)
        keys = sorted(self._kept)
        if not is_cursor(cursor):
            raise bad_cursor()
        start = int(cursor)
        page = [key for key in keys[start : start + count] if wanted.fullmatch(key)]
        following = start + count if start + count < len(keys) else 0
        return ScanPage(str(following), [key for key in page if self._find(key) is not None])

    # --- Inside -----------------------------------------------------------------------------

    def _sum(self, there: Kept | None, by: int) -> int:
        if there is None:
            found = 0
        else:
            if not isinstance(there.value, bytes) or not re.fullmatch(
                rb"0|-?[1-9]\d{0,18}", there.value
            ):
                raise InvalidValue("a counter is a whole number; found another value there")
            found = int(there.value)
        if not COUNTER_MIN <= found + by <= COUNTER_MAX:
            raise InvalidValue(
                "a counter holds 64 bits; this step would leave them. Nothing was written"
            )
        return found + by

    def _stream(self, key: str) -> Stream:
        return self._value(key, Stream) or Stream(self._clock)

    def _made(self, key: str) -> Stream:
        there = self._value(key, Stream)
        if there is None:
            there = Stream(self._clock)
            self._kept[key] = Kept(there)
        return there

    async def _waiting(
        self, stream: str, block_ms: int, take: Callable[[], list[Delivered]]
    ) -> list[Delivered]:
        found = take()
        if found or not block_ms:
            return found
        until = self._clock.monotonic() + block_ms / 1000
        while not found and (left := until - self._clock.monotonic()) > 0:
            came: Completion[None] = self._components.host.runtime().completion()
            # Who appends has to find who waits, so the stream is made if there is none.
            waiting = self._made(stream).waiting
            waiting.append(came.settle)
            try:
                await came.wait(left)
            except TimedOut:
                break
            finally:
                if came.settle in waiting:
                    waiting.remove(came.settle)
            found = take()
        return found
