"""The adapter contract of the seed, 18 members, as a face of any `StateAdapter`.

For code that was written against it. Values go in and out as bytes; the caller alone decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from holdfast.state.adapter import BatchWrite, Delivered, ScanPage, StateAdapter, Unsubscribe
from holdfast.state.checks import Duration, block_ms, ttl_ms

Listener = Callable[[str, bytes], Any]


class StoreAdapter(Protocol):
    """The members that the seed lists, in snake_case."""

    @property
    def client(self) -> Any: ...
    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, *, ttl: Duration | None = None) -> None: ...
    async def delete(self, key: str) -> None: ...
    async def has(self, key: str) -> bool: ...
    async def increment(self, key: str, delta: int = 1) -> int: ...
    async def expire(self, key: str, ttl: Duration) -> None: ...
    async def set_nx(self, key: str, value: bytes, *, ttl: Duration | None = None) -> bool: ...
    async def mget(self, keys: Sequence[str]) -> list[bytes | None]: ...
    async def mset(self, entries: Sequence[BatchWrite]) -> None: ...
    async def publish(self, channel: str, message: bytes) -> None: ...
    async def subscribe(self, channel: str, callback: Listener) -> None: ...
    async def unsubscribe(self, channel: str, callback: Listener | None = None) -> None: ...
    async def scan(self, pattern: str, *, cursor: str = "0", count: int = 10) -> ScanPage: ...
    async def xadd(
        self, stream: str, message: bytes, *, max_len: int = 0, approximate: bool = False
    ) -> str: ...
    async def xgroup_create(self, stream: str, group: str, start_id: str = "0") -> None: ...
    async def xreadgroup(
        self, stream: str, group: str, consumer: str, *, count: int = 10,
        block: Duration | None = None,
    ) -> list[Delivered]: ...  # fmt: skip
    async def xack(self, stream: str, group: str, ids: Sequence[str]) -> None: ...


class _Heard(NamedTuple):
    callback: Listener
    end: Unsubscribe


class SeedAdapter:
    """A `StoreAdapter` on a `StateAdapter`."""

    def __init__(self, adapter: StateAdapter) -> None:
        self._adapter = adapter
        self._heard: dict[str, list[_Heard]] = {}

    @property
    def client(self) -> Any:
        return self._adapter.client

    async def get(self, key: str) -> bytes | None:
        return await self._adapter.get(key)

    async def set(self, key: str, value: bytes, *, ttl: Duration | None = None) -> None:
        await self._adapter.set(key, value, ttl_ms=_span(ttl))

    async def delete(self, key: str) -> None:
        await self._adapter.delete([key])

    async def has(self, key: str) -> bool:
        return await self._adapter.has(key)

    async def increment(self, key: str, delta: int = 1) -> int:
        return await self._adapter.add(key, delta)

    async def expire(self, key: str, ttl: Duration) -> None:
        await self._adapter.expire(key, ttl_ms(ttl))

    async def set_nx(self, key: str, value: bytes, *, ttl: Duration | None = None) -> bool:
        return await self._adapter.set(key, value, ttl_ms=_span(ttl), condition="absent")

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._adapter.get_many(keys) if keys else []

    async def mset(self, entries: Sequence[BatchWrite]) -> None:
        if entries:
            await self._adapter.set_many(entries)

    async def publish(self, channel: str, message: bytes) -> None:
        await self._adapter.publish(channel, message)

    async def subscribe(self, channel: str, callback: Listener) -> None:
        """Hear a channel; the same function twice hears once."""
        heard = self._heard.setdefault(channel, [])
        if all(one.callback is not callback for one in heard):
            end = await self._adapter.subscribe(channel, callback, lambda: None)
            heard.append(_Heard(callback, end))

    async def unsubscribe(self, channel: str, callback: Listener | None = None) -> None:
        """Hear it no more: one function, or all of them."""
        heard = self._heard.pop(channel, [])
        kept = [one for one in heard if callback is not None and one.callback is not callback]
        if kept:
            self._heard[channel] = kept
        for one in heard:
            if one not in kept:
                await one.end()

    async def scan(self, pattern: str, *, cursor: str = "0", count: int = 10) -> ScanPage:
        return await self._adapter.scan(pattern, cursor, count)

    async def xadd(
        self, stream: str, message: bytes, *, max_len: int = 0, approximate: bool = False
    ) -> str:
        return await self._adapter.append(
            stream, message, length_max=max_len, approximate=approximate
        )

    async def xgroup_create(self, stream: str, group: str, start_id: str = "0") -> None:
        await self._adapter.ensure_group(stream, group, start_id)

    async def xreadgroup(
        self,
        stream: str,
        group: str,
        consumer: str,
        *,
        count: int = 10,
        block: Duration | None = None,
    ) -> list[Delivered]:
        return await self._adapter.read_group(
            stream, group, consumer, count=count, block_ms=block_ms(block)
        )

    async def xack(self, stream: str, group: str, ids: Sequence[str]) -> None:
        if ids:
            await self._adapter.acknowledge(stream, group, ids)


def _span(ttl: Duration | None) -> int:
    return 0 if ttl is None else ttl_ms(ttl)
