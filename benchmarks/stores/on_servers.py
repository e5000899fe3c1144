"""What the harness asks of a store on a server, by many tasks; ours, and what the others share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

import holdfast
from benchmarks.data import Value

#: Connections of the clients that ours stands beside.
CONNECTIONS = 16

encode = msgspec.msgpack.Encoder(order="deterministic").encode
decode = msgspec.msgpack.Decoder().decode


class ServerStore(ABC):
    """Mappings under text keys on a server, used by many tasks of one loop."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, and make what is missing."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    @abstractmethod
    async def get(self, key: str) -> Value | None:
        """The value, decoded."""

    @abstractmethod
    async def set(self, key: str, value: Value) -> None:
        """Write it."""

    async def fill(self, records: Sequence[tuple[str, Value]]) -> None:
        """Write them all."""
        await asyncio.gather(*(self.set(key, value) for key, value in records))


class Ours(ServerStore):
    """Holdfast's entries.

    Args:
        url: of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self.database = await holdfast.open(self._url)
        self._entries = self.database.entries

    async def close(self) -> None:
        await self.database.close()

    async def get(self, key: str) -> Value | None:
        entry = await self._entries.get(key)
        return None if entry is None else entry.value

    async def set(self, key: str, value: Value) -> None:
        await self._entries.set(key, value)

    async def fill(self, records: Sequence[tuple[str, Value]]) -> None:
        await self._entries.set_many(dict(records))
