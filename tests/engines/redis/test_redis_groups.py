"""A database on a cluster and behind sentinels: where it lies, where it goes, what is kept."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import holdfast
from holdfast.contract.batch import Append, Batch
from holdfast.contract.errors import Compacted, ConfigInvalid, ConnectionFailed, OutcomeUnknown
from holdfast.contract.record import Cursor, Range
from holdfast.engines.redis import RedisConfig, RedisEngine
from holdfast.engines.redis.places import slot_of
from holdfast.testing.subject import increment, walk
from tests.engines.redis.scene import opened, put, run, value
from tests.servers.processes import LOOPBACK, Server, free_port
from tests.servers.redis_groups import Cluster, Watched, redis_cluster, redis_sentinels


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Shared by the tests of this module that leave all nodes running."""
    with redis_cluster() as made:
        yield made


def config_of(node: Server, prefix: str, **settings: Any) -> RedisConfig:
    return RedisConfig(host=LOOPBACK, port=node.port, prefix=prefix, **settings)


def test_any_node_leads_to_the_one_that_has_the_slot(cluster: Cluster) -> None:
    async def test() -> None:
        for prefix in ("a", "b", "c", "d"):
            owner = cluster.owner(slot_of(prefix.encode()))
            for number, node in enumerate(cluster.nodes):
                async with opened(config_of(node, prefix)) as engine:
                    assert await put(engine, b"k", b"%d" % number) == number + 1
                    [site] = engine._sites.values()
                    transport = await site.line.connected()
                    assert transport._connection.address[1] == owner.port  # type: ignore[attr-defined]

    run(test)


def test_a_cluster_has_one_database_alone(cluster: Cluster) -> None:
    async def test() -> None:
        with pytest.raises(ConfigInvalid, match="prefix"):
            async with opened(config_of(cluster.nodes[0], "a", database="1")):
                raise AssertionError

    run(test)


@pytest.mark.row("D-121")
def test_a_slot_that_moves_takes_its_database_along(cluster: Cluster) -> None:
    async def test() -> None:
        config = config_of(cluster.nodes[0], "moving")
        slot = slot_of(b"moving")
        async with opened(config) as engine, opened(config) as other:
            await put(engine, b"a", b"1")
            for _ in range(2):
                waiting = asyncio.create_task(other.wait(await other.head()))
                source, target = await asyncio.to_thread(cluster.begin_move, slot)
                writes = [
                    asyncio.create_task(engine.transact([b"n"], increment(b"n"))) for _ in range(50)
                ]
                await asyncio.sleep(0.05)
                await asyncio.to_thread(cluster.end_move, slot, source, target)
                await asyncio.gather(*writes)
                assert await waiting
                assert cluster.owner(slot) is target
            assert await value(engine, b"n") == b"100"
            assert await engine.check() == []

    run(test)


@pytest.mark.row("D-121")
def test_a_primary_of_a_cluster_is_lost_under_load() -> None:
    """With wait_replicas=1 its replica has all that was acknowledged."""

    async def test(cluster: Cluster) -> None:
        owner = cluster.owner(slot_of(b"load"))
        seed = next(node for node in cluster.nodes if node is not owner)
        config = config_of(seed, "load", wait_replicas=1, wait_timeout=1.0, reconnect_timeout=30.0)
        async with opened(config) as engine:
            await _written_over_a_loss(engine, owner.crash)

    with redis_cluster() as cluster:
        run(lambda: test(cluster))


async def _written_over_a_loss(engine: RedisEngine, crash: Callable[[], None]) -> None:
    """The primary is lost among commits; each that was acknowledged is there, whoever follows."""
    acknowledged: dict[bytes, int] = {}
    unknown: set[bytes] = set()
    old = engine.lineage

    async def writes(writer: int) -> None:
        for number in itertools.count():
            mark = b"%d-%d" % (writer, number)
            try:
                receipt = await engine.commit(Batch([Append(b"log/", mark)], mark))
            except OutcomeUnknown:
                # The replica took over, and no replica of its own has the write.
                unknown.add(mark)
                return
            acknowledged[mark] = receipt.revision

    async with asyncio.TaskGroup() as group:
        for writer in range(4):
            group.create_task(writes(writer))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(crash)
    rows = await walk(engine, Range.prefix(b"log/"))
    found = {record.value: record.revision for _, record in rows}
    assert len(rows) == len(found), "a commit was applied twice"
    assert acknowledged.keys() <= found.keys() <= acknowledged.keys() | unknown
    assert all(found[mark] == revision for mark, revision in acknowledged.items())
    assert len(acknowledged) > 20
    assert engine.lineage != old, "a replica that is promoted may lack something"
    assert await engine.check() == []


@pytest.mark.row("D-120")
def test_a_failover_of_sentinels_is_followed() -> None:
    async def test(group: Watched) -> None:
        config = RedisConfig(
            host=LOOPBACK, port=group.sentinels[0].port, prefix="a", sentinel="main",
            hosts=f"{LOOPBACK}:{free_port()}", reconnect_timeout=30.0,
        )  # fmt: skip
        careful = replace(config, wait_replicas=1, wait_timeout=1.0)
        async with holdfast.open(config, housekeeping=False) as db, opened(careful) as engine:
            await db.entries.set("a", 1)
            cursor = db.cursor
            # The sentinel that was named is away, too: the others were told of.
            group.sentinels[0].crash()
            await _written_over_a_loss(engine, group.primary.crash)
            assert (await db.entries.require("a")).value == 1
            with pytest.raises(Compacted):
                async with db.watch(since=cursor) as changes:
                    await anext(changes)
            later = await db.entries.set("a", 2)
            assert later.revision > Cursor.parse(cursor).revision
            assert Cursor.parse(db.cursor).lineage == engine.lineage

    with redis_sentinels() as group:
        run(lambda: test(group))


def test_sentinels_that_do_not_know_the_group() -> None:
    async def test() -> None:
        nobody = RedisConfig(
            host=LOOPBACK, port=free_port(), prefix="a", sentinel="main",
            hosts=f"{LOOPBACK}:{free_port()}",
        )  # fmt: skip
        with pytest.raises(ConnectionFailed, match=str(nobody.port)):
            async with opened(nobody):
                raise AssertionError

    run(test)
