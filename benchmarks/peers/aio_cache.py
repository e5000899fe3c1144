"""aiocache: asynchronous caches; here the one in memory, which keeps the objects themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import AwaitingStore


class AioCache(AwaitingStore):
    """`SimpleMemoryCache` as it comes: no serializer, so a value read is the object written."""

    async def open(self) -> None:
        self._cache: Any = driver("aiocache").SimpleMemoryCache()

    async def close(self) -> None:
        await self._cache.clear()
        await self._cache.close()

    async def get(self, key: str) -> Value | None:
        value: Value | None = await self._cache.get(key)
        return value

    async def set(self, key: str, value: Value) -> None:
        await self._cache.set(key, value)

    async def load(self, records: Sequence[tuple[str, Value]]) -> None:
        await self._cache.multi_set(records)
