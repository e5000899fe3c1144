"""State on a Redis Cluster: each command goes to the node that has its key.

A node that does not have it says where it is, or where it is going; only the command that was
refused is sent again, and nothing of it had happened. Several keys that are read or removed are
grouped by slot; several that are written together have to share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from holdfast.contract.errors import ConnectionFailed, StoreError
from holdfast.state.adapter import ScanPage
from holdfast.state.checks import bad_cursor, is_cursor
from holdfast.state.redis.adapter import LoopState, RedisAdapter
from holdfast.state.redis.blocking import BlockingReads
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.connection import LoopConnection, again
from holdfast.state.redis.link import Word
from holdfast.state.redis.slots import SLOTS, keys_of, one_slot, slot_of

T = TypeVar("T")

#: How often one command follows where it is sent on to.
REDIRECTS_MAX = 8
#: How long a command waits before it asks again while a slot is on its way, in seconds.
MOVING_S = 0.02

Address = tuple[str, int]


class ClusterAdapter(RedisAdapter):
    """State on a cluster. The configuration leads to any one node; it tells of the others.

    Build the store with `with_hash_tags()`: batches that are written, claims with tokens and purges
    work within a slot.
    """

    name = "redis+cluster"

    def _make(self, loop: asyncio.AbstractEventLoop) -> LoopState:
        return _ClusterState(loop, self.config, self)

    def _cluster(self) -> _ClusterState:
        here = self._connections.here()
        assert isinstance(here, _ClusterState)
        return here

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        groups = _by_slot(keys)
        read = super().get_many
        answers = await asyncio.gather(*map(read, groups))
        found = {
            key: value
            for group, values in zip(groups, answers, strict=True)
            for key, value in zip(group, values, strict=True)
        }
        return [found[key] for key in keys]

    async def delete(self, keys: Sequence[str]) -> int:
        remove = super().delete
        return sum(await asyncio.gather(*map(remove, _by_slot(keys))))

    async def scan(self, pattern: str, cursor: str, count: int) -> ScanPage:
        """One step on one node; the cursor says on which."""
        primaries = await self._cluster().primaries()
        place, _, at = cursor.partition("-") if cursor != "0" else ("0", "", "0")
        if not (is_cursor(place) and is_cursor(at)):
            raise bad_cursor()
        number = int(place)
        if number >= len(primaries):
            return ScanPage("0", [])
        node = self._cluster().node(primaries[number])
        words = ("SCAN", at, "MATCH", pattern, "COUNT", count)
        following, keys = await node.send(words, reads=True)
        found = [key.decode(errors="replace") for key in keys]
        if following != b"0":
            return ScanPage(f"{number}-{following.decode()}", found)
        last = number + 1 >= len(primaries)
        return ScanPage("0" if last else f"{number + 1}-0", found)


class _ClusterState(LoopState):
    """The nodes as one loop knows them."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, adapter: RedisAdapter
    ) -> None:
        super().__init__(loop, config, adapter)
        self._loop = loop
        self._nodes: dict[Address, LoopConnection] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._learning: asyncio.Task[None] | None = None
        self._turn = 0
        self._where = self._somewhere
        self.blocking = _ClusterReads(loop, config, self)

    # --- Commands ---------------------------------------------------------------------------

    def send(self, words: tuple[Word, ...], *, reads: bool = False) -> Awaitable[Any]:
        slot = one_slot(keys_of(words))
        return self.routed(slot, lambda node: node.send(words, reads=reads), words, reads=reads)

    async def transaction(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        slot = one_slot([key for words in commands for key in keys_of(words)])
        answer: list[Any] = await self.routed(slot, lambda node: node.transaction(commands), ())
        return answer

    async def routed(
        self,
        slot: int | None,
        send: Callable[[LoopConnection], Awaitable[T]],
        words: tuple[Word, ...],
        *,
        reads: bool = False,
    ) -> T | Any:
        """The answer of the node that has the slot, wherever it is by now."""
        for left in range(REDIRECTS_MAX, -1, -1):
            node = self.node(await self._owner(slot))
            try:
                return await send(node)
            except ConnectionFailed as error:
                if not left or not await self._elsewhere(slot, node, error):
                    raise
            except StoreError as error:
                reply = error.details.get("reply")
                if reply not in ("MOVED", "ASK") or not left:
                    raise
                address = _address(str(error.__cause__), node.config.host)
                if reply == "ASK" and words:
                    return await self._ask(address, words, reads=reads)
                if reply == "ASK":
                    await asyncio.sleep(MOVING_S)
                elif slot is not None:
                    self._owners[slot] = address
        raise AssertionError("the loop above returns or raises")

    async def _elsewhere(
        self, slot: int | None, node: LoopConnection, error: ConnectionFailed
    ) -> bool:
        """Whether to ask again: nothing was sent, and another node may have the slot."""
        await self._learn()
        if error.details.get("reply") in ("TRYAGAIN", "CLUSTERDOWN"):
            await asyncio.sleep(MOVING_S)
            return True
        return self.node(await self._owner(slot)) is not node

    async def _ask(self, address: Address, words: tuple[Word, ...], *, reads: bool) -> Any:
        """One command on the node that a slot moves to, while it moves."""
        link = await self.node(address).link()
        allowed = link.send(("ASKING",), reads=True)
        answer = link.send(words, reads=reads)
        await allowed
        return await answer

    # --- Nodes ------------------------------------------------------------------------------

    def node(self, address: Address) -> LoopConnection:
        """The connection to one node."""
        found = self._nodes.get(address)
        if found is None:
            host, port = address
            config = replace(self.config, host=host, port=port, path=None)

            async def where() -> RedisConfig:
                return config

            found = self._nodes[address] = LoopConnection(self._loop, config, where)
        return found

    async def primaries(self) -> list[Address]:
        """The nodes that have slots, always in the same order."""
        await self._owner(0)
        return sorted({one for one in self._owners if one is not None})

    async def _owner(self, slot: int | None) -> Address:
        owner = self._owners[slot or 0]
        if owner is None:
            await self._learn()
            owner = self._owners[slot or 0]
        if owner is None:
            raise ConnectionFailed(
                "a cluster whose slots are all served was wanted; found one that is not complete. "
                "See CLUSTER INFO"
            )
        return owner

    async def _learn(self) -> None:
        """Ask a node who has which slot; one question for all who wait for its answer."""
        if self._learning is None:
            self._learning = self._loop.create_task(self._ask_around(), name="holdfast cluster")
            self._learning.add_done_callback(lambda task: task.cancelled() or task.exception())
        learning = self._learning
        await asyncio.wait([learning])
        if not learning.cancelled() and (error := learning.exception()) is not None:
            raise again(error) if isinstance(error, StoreError) else error

    async def _ask_around(self) -> None:
        try:
            seed = (self.config.host, self.config.port)
            failure: StoreError | None = None
            for address in dict.fromkeys((*self._nodes, seed)):
                try:
                    found = await self.node(address).send(("CLUSTER", "SLOTS"), reads=True)
                except StoreError as error:
                    failure = error
                    continue
                owners: list[Address | None] = [None] * SLOTS
                for start, end, (host, port, *_), *_ in found:
                    owner = (host.decode() or address[0], port)
                    owners[start : end + 1] = [owner] * (end + 1 - start)
                self._owners = owners
                await self._forget_idle()
                return
            raise failure or ConnectionFailed("no node of the cluster is known")
        finally:
            self._learning = None

    async def _forget_idle(self) -> None:
        """Let go of nodes that have no slot any more and owe no answer."""
        seed = (self.config.host, self.config.port)
        wanted = {*self._owners, seed}
        assert isinstance(self.blocking, _ClusterReads)
        for address in [one for one in self._nodes if one not in wanted]:
            node = self._nodes[address]
            if node.idle and self.blocking.forget(node):
                del self._nodes[address]
                await node.close()

    async def _somewhere(self) -> RedisConfig:
        """A node for what any node does, such as subscribing; another one each time."""
        primaries = await self.primaries()
        self._turn += 1
        return self.node(primaries[self._turn % len(primaries)]).config

    async def close(self) -> None:
        await super().close()
        for node in [*self._nodes.values()]:
            await node.close()

    def abandon(self) -> None:
        super().abandon()
        for node in self._nodes.values():
            node.abandon()


class _ClusterReads(BlockingReads):
    """Reads that block, each on the node that has the stream."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, cluster: _ClusterState
    ) -> None:
        super().__init__(loop, config, cluster.resolve)
        self._cluster = cluster
        self._by_node: dict[LoopConnection, BlockingReads] = {}

    async def read(self, words: tuple[Word, ...], block_ms: int) -> Any:
        slot = one_slot(keys_of(words))
        return await self._cluster.routed(
            slot, lambda node: self._at(node).read(words, block_ms), words, reads=True
        )

    def close(self) -> None:
        super().close()
        for reads in self._by_node.values():
            reads.close()

    def abandon(self) -> None:
        for reads in self._by_node.values():
            reads.abandon()

    def forget(self, node: LoopConnection) -> bool:
        """Let go of a node's connections, unless a read blocks there; whether it is forgotten."""
        found = self._by_node.get(node)
        if found is not None and found.busy:
            return False
        if found is not None:
            self._by_node.pop(node).close()
        return True

    def _at(self, node: LoopConnection) -> BlockingReads:
        found = self._by_node.get(node)
        if found is None:
            found = BlockingReads(self._loop, node.config, node.resolve)
            self._by_node[node] = found
        return found


def _address(reply: str, asked: str) -> Address:
    """The node that `MOVED 3999 127.0.0.1:6381` names."""
    host, _, port = reply.split(" ")[2].rpartition(":")
    return host or asked, int(port)


def _by_slot(keys: Sequence[str]) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for key in keys:
        groups.setdefault(slot_of(key), []).append(key)
    return list(groups.values())
