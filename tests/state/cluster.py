"""A cluster of three real nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from holdfast.state import RedisAdapter
from holdfast.state.redis.slots import SLOTS
from tests.state.conftest import RedisServer


class Cluster:
    """Made by the cluster's own commands. `move` takes a slot to the next node, keys and all."""

    def __init__(self, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes = [RedisServer(folder / f"node{n}", options) for n in range(3)]
        for node in self.nodes:
            # The port between nodes is chosen, too: the usual distance would leave the range.
            bus = RedisServer(folder).port
            node.options += ("--cluster-port", str(bus))
            node.start()
        asyncio.run(self._join())

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    async def _join(self) -> None:
        step = SLOTS // 3 + 1
        for n, node in enumerate(self.nodes):
            last = min((n + 1) * step, SLOTS) - 1
            await ask(node, "CLUSTER", "ADDSLOTSRANGE", n * step, last)
            await ask(node, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        first = self.nodes[0]
        bus = first.options[-1]
        for node in self.nodes[1:]:
            await ask(node, "CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        for _ in range(400):
            told = [await ask(node, "CLUSTER", "INFO") for node in self.nodes]
            if all(b"cluster_state:ok" in one and b"known_nodes:3" in one for one in told):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(told)

    async def move(self, slot: int, keys: list[str]) -> None:
        ids = [(await ask(node, "CLUSTER", "MYID")).decode() for node in self.nodes]
        found = await ask(self.nodes[0], "CLUSTER", "SLOTS")
        [port] = [part[2][1] for part in found if part[0] <= slot <= part[1]]
        [source] = [n for n, node in enumerate(self.nodes) if node.port == port]
        target = (source + 1) % 3
        one, two = self.nodes[source], self.nodes[target]
        await ask(two, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await ask(one, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        await asyncio.sleep(0.05)
        for key in keys:
            await ask(one, "MIGRATE", "127.0.0.1", two.port, key, 0, 5000)
        await asyncio.sleep(0.05)
        for node in (two, one, self.nodes[(source + 2) % 3]):
            await ask(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[target])


async def ask(server: RedisServer, *words: str | int) -> Any:
    async with RedisAdapter.from_url(server.url) as adapter:
        return await adapter.client.send(words)
