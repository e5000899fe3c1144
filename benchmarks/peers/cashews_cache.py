"""cashews: asynchronous caches, in memory or on diskcache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import AwaitingStore

#: More than any run holds: its memory store evicts above its size.
_SIZE = 10_000_000


class Cashews(AwaitingStore):
    """`Cache`.

    Args:
        kind: mem (keeps the objects themselves) or disk (eight diskcaches, its default).
    """

    def __init__(self, folder: Path, *, kind: str) -> None:
        super().__init__(folder)
        self._kind = kind

    async def open(self) -> None:
        self._cache: Any = driver("cashews").Cache()
        if self._kind == "mem":
            # The sweep copies every key once a second; nothing expires here.
            self._cache.setup(f"mem://?size={_SIZE}&check_interval=3600")
        else:
            self._cache.setup("disk://", directory=str(self.folder / "cashews"))
        await self._cache.init()

    async def close(self) -> None:
        await self._cache.close()

    async def get(self, key: str) -> Value | None:
        value: Value | None = await self._cache.get(key)
        return value

    async def set(self, key: str, value: Value) -> None:
        await self._cache.set(key, value)

    async def load(self, records: Sequence[tuple[str, Value]]) -> None:
        await self._cache.set_many(dict(records))
