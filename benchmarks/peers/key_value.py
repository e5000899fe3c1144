"""py-key-value-aio: one interface over many stores; values are JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import AwaitingStore


class KeyValue(AwaitingStore):
    """One of its stores.

    Args:
        kind: memory, disk (on diskcache) or rocksdb (on rocksdict).
        flush: whether each write is flushed, which its stores leave to the database below.
    """

    def __init__(self, folder: Path, *, kind: str, flush: bool = False) -> None:
        super().__init__(folder)
        self._kind = kind
        self._flush = flush
        self._below: Any = None

    async def open(self) -> None:
        self._store: Any = self._make()
        await self._store.setup()

    def _make(self) -> Any:
        stores = driver(f"key_value.aio.stores.{self._kind}")
        if self._kind == "memory":
            return stores.MemoryStore()
        path = str(self.folder / f"key-value-{self._kind}")
        if self._kind == "disk":
            if not self._flush:
                return stores.DiskStore(directory=path)
            self._below = driver("diskcache").Cache(
                path, eviction_policy="none", sqlite_synchronous=2
            )
            # It takes an empty cache for none at all.
            self._below.set("not empty", True)
            return stores.DiskStore(disk_cache=self._below)
        if not self._flush:
            return stores.RocksDBStore(path=path)
        rocks = driver("rocksdict")
        self._below = rocks.Rdict(path)
        options = rocks.WriteOptions()
        options.sync = True
        self._below.set_write_options(options)
        return stores.RocksDBStore(db=self._below)

    async def close(self) -> None:
        await self._store.close()
        if self._below is not None:
            self._below.close()

    async def get(self, key: str) -> Value | None:
        value: Value | None = await self._store.get(key)
        return value

    async def set(self, key: str, value: Value) -> None:
        await self._store.put(key, value)

    async def load(self, records: Sequence[tuple[str, Value]]) -> None:
        keys, values = zip(*records, strict=True)
        with contextlib.ExitStack() as stack:
            if self._kind == "disk" and self._below is not None:
                # One flush for all of them instead of one for each.
                stack.enter_context(self._below.transact())
            await self._store.put_many(list(keys), list(values))
