"""The adapters that the contract holds for. Another one is added to `SUBJECTS`, and that is all.

A subject opens an adapter on a clean place and lets time pass: a clock that is moved by hand where
the adapter takes one, real time elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

import holdfast
from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import ClusterAdapter, LocalRedisAdapter, MockStoreAdapter, RedisAdapter
from holdfast.state.adapter import StateAdapter
from tests.state.conftest import RedisServer


@dataclass
class Subject:
    """An open adapter.

    Attributes:
        adapter: under test.
        stem: what the keys of this test begin with.
    """

    adapter: StateAdapter
    stem: str
    clock: ManualClock | None = None
    #: Whether `publish` can say how many hear; a cluster knows of one node alone.
    counts_listeners: bool = True

    def key(self, name: str) -> str:
        return f"{self.stem}:{name}"

    async def passes(self, seconds: float) -> None:
        """Time passes for the keeper."""
        if self.clock is not None:
            self.clock.advance(seconds)
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(seconds + 0.03)


@asynccontextmanager
async def on_redis(server: RedisServer, stem: str) -> AsyncIterator[Subject]:
    async with RedisAdapter.from_url(server.url) as adapter:
        yield Subject(adapter, stem)


@asynccontextmanager
async def on_redis_with_local_values(server: RedisServer, stem: str) -> AsyncIterator[Subject]:
    adapter = LocalRedisAdapter(RedisAdapter.from_url(server.url).config, prefixes=[f"{stem}:"])
    async with adapter:
        await adapter.get(f"{stem}:first")  # Begins to listen to changes.
        while not adapter.local.live:  # noqa: ASYNC110 - it has no event of it
            await asyncio.sleep(0.005)
        yield Subject(adapter, stem)


@asynccontextmanager
async def on_cluster(server: RedisServer, stem: str) -> AsyncIterator[Subject]:
    # The keys of a test share a slot, as those of a scope do with hash tags.
    [port] = [node.port for node in CLUSTERS[0].nodes[:1]]
    async with ClusterAdapter.from_url(f"redis://127.0.0.1:{port}") as adapter:
        yield Subject(adapter, f"{{{stem}}}", counts_listeners=False)


@asynccontextmanager
async def on_mock(server: RedisServer, stem: str) -> AsyncIterator[Subject]:
    clock = ManualClock()
    adapter = MockStoreAdapter(replace(system_components(), clock=clock))
    yield Subject(adapter, stem, clock)
    await adapter.close()


def on_database(url: str) -> Callable[[RedisServer, str], AbstractAsyncContextManager[Subject]]:
    """A database of its own for each subject, on a clock that is moved by hand."""

    @asynccontextmanager
    async def open(server: RedisServer, stem: str) -> AsyncIterator[Subject]:
        clock = ManualClock()
        parts = replace(system_components(), clock=clock)
        with TemporaryDirectory() as folder:
            async with holdfast.open(
                url.format(folder=folder, port=server.port, stem=stem),
                components=parts,
                housekeeping=False,
            ) as db:
                adapter = db.state_adapter()
                yield Subject(adapter, stem, clock)
                await adapter.close()
                assert await db.check() == []

    return open


#: The cluster of this run, once a test has asked for it.
CLUSTERS: list[Any] = []

SUBJECTS: dict[str, Callable[[RedisServer, str], AbstractAsyncContextManager[Subject]]] = {
    "redis": on_redis,
    "mock": on_mock,
    "cluster": on_cluster,
    "redis with local values": on_redis_with_local_values,
    "memory": on_database("memory://"),
    "lmdb": on_database("lmdb:///{folder}/db?durability=relaxed"),
    "sqlite": on_database("sqlite:///{folder}/db?durability=relaxed"),
    "files": on_database("file:///{folder}/db?durability=relaxed"),
    "a database on redis": on_database("redis://127.0.0.1:{port}/1?prefix={stem}"),
}
