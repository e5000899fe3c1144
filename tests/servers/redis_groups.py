"""Redis servers that belong together: a cluster of six nodes, and a primary that sentinels watch.

    with redis_cluster() as cluster:
        cluster.owner(slot).crash()     # its replica takes over

Both return once all members know each other and every replica follows its primary.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from tests.servers.processes import LOOPBACK, PATIENCE_S, Server, free_port, redis_in

SLOTS = 16_384
PRIMARIES = 3
#: How long a node may be silent before the others take it for dead, in milliseconds.
SILENCE_MS = 600


def tell(server: Server, *words: str | int) -> Any:
    """What a server answers to a command."""
    with Redis(host=LOOPBACK, port=server.port, socket_timeout=PATIENCE_S) as client:
        client.response_callbacks.clear()  # Its own words, whatever the driver makes of them.
        return client.execute_command(*words)


def eventually(ask: Callable[[], bool]) -> None:
    """Return once the answer is yes."""
    deadline = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < deadline, f"it did not come to pass within {PATIENCE_S} s"
        time.sleep(0.02)


@dataclass
class Cluster:
    """Three primaries, each with a replica.

    Attributes:
        nodes: the primaries as they were made, then their replicas.
    """

    nodes: list[Server]

    def owner(self, slot: int) -> Server:
        """The node that has the slot, by what any living one says."""
        for node in self.nodes:
            if node.process is None:
                continue
            for start, end, (_, port, *_), *_ in tell(node, "CLUSTER", "SLOTS"):
                if start <= slot <= end:
                    return next(one for one in self.nodes if one.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def replica_of(self, primary: Server) -> Server:
        """The node that follows this one."""
        return next(
            node
            for node in self.nodes
            if node is not primary and f"master_port:{primary.port}" in _replication(node)
        )

    def begin_move(self, slot: int) -> tuple[Server, Server]:
        """Let a slot be on its way; from which node to which."""
        source = self.owner(slot)
        target = next(
            node
            for node in self.nodes
            if node is not source and "role:master" in _replication(node)
        )
        tell(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        tell(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
        return source, target

    def end_move(self, slot: int, source: Server, target: Server) -> None:
        """Take every key of the slot there, and tell everybody."""
        while keys := tell(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            for key in keys:
                tell(source, "MIGRATE", LOOPBACK, target.port, key, 0, 5000)
        for node in (target, source):
            tell(node, "CLUSTER", "SETSLOT", slot, "NODE", _id(target))


@contextmanager
def redis_cluster() -> Iterator[Cluster]:
    """A cluster of six nodes of its own."""
    with ExitStack() as stack:
        nodes = [
            _member(
                stack,
                cluster_enabled="yes",
                # Chosen, too: the usual distance would leave the range of ports.
                cluster_port=free_port(),
                cluster_node_timeout=SILENCE_MS,
                cluster_replica_validity_factor=0,
            )
            for _ in range(2 * PRIMARIES)
        ]
        step = SLOTS // PRIMARIES + 1
        for number, node in enumerate(nodes):
            tell(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < PRIMARIES:
                last = min((number + 1) * step, SLOTS) - 1
                tell(node, "CLUSTER", "ADDSLOTSRANGE", number * step, last)
            else:
                bus = nodes[0].command[list(nodes[0].command).index("--cluster-port") + 1]
                tell(node, "CLUSTER", "MEET", LOOPBACK, nodes[0].port, bus)
        for node in nodes[1:PRIMARIES]:
            tell(node, "CLUSTER", "MEET", LOOPBACK, nodes[0].port, bus)
        eventually(lambda: all(_complete(node) for node in nodes))
        for number, node in enumerate(nodes[PRIMARIES:]):
            tell(node, "CLUSTER", "REPLICATE", _id(nodes[number]))
        eventually(lambda: all(map(_followed, nodes[:PRIMARIES])))
        # Until a replica is known to all, nobody votes for it.
        eventually(
            lambda: all(
                str(tell(node, "CLUSTER", "NODES")).count("slave") == PRIMARIES for node in nodes
            )
        )
        yield Cluster(nodes)


@dataclass
class Watched:
    """A primary, its replica, and three sentinels that watch the group `main`."""

    primary: Server
    replica: Server
    sentinels: list[Server]


@contextmanager
def redis_sentinels() -> Iterator[Watched]:
    """A group of its own that fails over by itself."""
    with ExitStack() as stack:
        primary = _member(stack)
        replica = _member(stack, replicaof=f"{LOOPBACK} {primary.port}")
        sentinels = [_sentinel(stack, primary.port) for _ in range(3)]
        eventually(lambda: _followed(primary))
        eventually(
            lambda: all(
                b"slaves=1,sentinels=3" in tell(one, "INFO", "sentinel") for one in sentinels
            )
        )
        yield Watched(primary, replica, sentinels)


def _member(stack: ExitStack, **settings: str | int) -> Server:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-server-")))
    server = redis_in(folder, appendfsync=None, **settings)
    stack.callback(server.crash)  # Nothing of it is kept.
    server.start()
    return server


def _sentinel(stack: ExitStack, port: int) -> Server:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-server-")))
    (folder / "sentinel.conf").write_text(
        f"sentinel monitor main {LOOPBACK} {port} 2\n"
        f"sentinel down-after-milliseconds main {SILENCE_MS}\n"
        "sentinel failover-timeout main 3000\n"
    )
    server = redis_in(folder, appendfsync=None)
    server.command = [
        server.command[0], str(folder / "sentinel.conf"), "--sentinel",
        *("--port", str(server.port), "--bind", LOOPBACK, "--dir", str(folder)),
    ]  # fmt: skip
    stack.callback(server.crash)
    server.start()
    return server


def _id(node: Server) -> str:
    found: bytes = tell(node, "CLUSTER", "MYID")
    return found.decode()


def _replication(node: Server) -> str:
    if node.process is None:
        return ""
    found: bytes = tell(node, "INFO", "replication")
    return found.decode()


def _followed(primary: Server) -> bool:
    """Whether its replica is told of writes: it counts as linked a second before that."""
    found = re.search(r"state=online,offset=(\d+)", _replication(primary))
    return found is not None and int(found[1]) > 0


def _complete(node: Server) -> bool:
    found = str(tell(node, "CLUSTER", "INFO"))
    return "cluster_state:ok" in found and f"cluster_known_nodes:{2 * PRIMARIES}" in found
