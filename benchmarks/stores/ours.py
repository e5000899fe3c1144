"""Holdfast, through its public handles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import holdfast
from benchmarks.data import Value
from benchmarks.stores.base import AwaitingStore, CallingStore, Change


def url(engine: str, folder: Path, durability: str, journal: str = "") -> str:
    """The address of the database in a folder; `journal`: the size of LMDB's, if it has one."""
    if engine == "memory":
        return "memory://?name=bench"
    name = "ours.db" if engine == "sqlite" else "ours"
    return f"{engine}:///{quote(str(folder / name))}?durability={durability}" + (
        f"&journal={journal}" if journal else ""
    )


def _pattern(prefix: str) -> str:
    return prefix + ":+" if prefix else "#"


class AsyncHoldfast(AwaitingStore):
    """The handle for event loops."""

    def __init__(
        self, folder: Path, *, engine: str, durability: str = "full", journal: str = ""
    ) -> None:
        super().__init__(folder)
        self.url = url(engine, folder, durability, journal)

    async def open(self) -> None:
        self.database = await holdfast.open(self.url)
        self.entries = self.database.entries

    async def close(self) -> None:
        await self.database.close()

    async def get(self, key: str) -> Value | None:
        entry = await self.entries.get(key)
        return None if entry is None else entry.value

    async def set(self, key: str, value: Value) -> None:
        await self.entries.set(key, value)

    async def modify(self, key: str, change: Change) -> None:
        await self.entries.modify(key, change)

    async def load(self, records: Sequence[tuple[str, Value]]) -> None:
        await self.entries.set_many(dict(records))

    async def scan(self, prefix: str, rows: int) -> int:
        found = 0
        async for entry in self.entries.items(_pattern(prefix), limit=rows):
            entry.value  # noqa: B018 - decodes it
            found += 1
        return found


class SyncHoldfast(CallingStore):
    """The handle without an event loop."""

    def __init__(
        self, folder: Path, *, engine: str, durability: str = "full", journal: str = ""
    ) -> None:
        super().__init__(folder)
        self.url = url(engine, folder, durability, journal)

    def start(self) -> None:
        import holdfast.sync

        self.database = holdfast.sync.open(self.url)
        self.database.open()
        self.entries = self.database.entries

    def stop(self) -> None:
        self.database.close()

    def get(self, key: str) -> Value | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def set(self, key: str, value: Value) -> None:
        self.entries.set(key, value)

    def modify(self, key: str, change: Change) -> None:
        self.entries.modify(key, change)

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        self.entries.set_many(dict(records))

    def scan(self, prefix: str, rows: int) -> int:
        found = 0
        for entry in self.entries.items(_pattern(prefix), limit=rows):
            entry.value  # noqa: B018 - decodes it
            found += 1
        return found
