"""Servers that end and come back: what was acknowledged, and what cursors are worth afterwards."""

from __future__ import annotations

import asyncio
import itertools
import signal
from pathlib import Path

import pytest

import holdfast
from holdfast.contract.batch import Append, Batch, Put
from holdfast.contract.errors import Compacted, ConnectionLost, OutcomeUnknown, StoreError
from holdfast.contract.record import Cursor, Range
from holdfast.engines.redis import RedisEngine
from holdfast.testing.subject import walk
from tests.engines.redis.scene import linked, opened, put, redis_config, run, told, value
from tests.servers.processes import Server, redis_server

WRITERS = 8
CRASHES = 4
CRASHES_TORTURE = 40


def test_crashes_among_commits_lose_nothing_and_repeat_nothing() -> None:
    crash_again_and_again(CRASHES)


@pytest.mark.torture
def test_forty_crashes_among_commits() -> None:
    crash_again_and_again(CRASHES_TORTURE)


def crash_again_and_again(crashes: int) -> None:
    """appendfsync always: what was acknowledged is there, torn is nothing, twice is nothing."""
    acknowledged: dict[bytes, int] = {}

    async def writes(engine: RedisEngine, writer: int, stop: asyncio.Event) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            mark = b"%d-%d" % (writer, number)
            batch = Batch(
                [Put(b"a/" + mark, mark), Append(b"log/", mark), Put(b"b/" + mark, mark)], mark
            )
            acknowledged[mark] = (await engine.commit(batch)).revision

    async def test() -> None:
        with redis_server(appendfsync="always") as server:
            async with opened(redis_config("a", port=server.port)) as engine:
                lineage, stop = engine.lineage, asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    for writer in range(WRITERS):
                        group.create_task(writes(engine, writer, stop))
                    for _ in range(crashes):
                        await asyncio.sleep(0.1)
                        await asyncio.to_thread(server.crash)
                        await asyncio.to_thread(server.start)
                    await asyncio.sleep(0.1)
                    stop.set()
                await _agrees(engine, acknowledged)
                assert engine.lineage == lineage, "such a server keeps what it acknowledged"

    run(test, seconds=10 * crashes + 20)
    assert len(acknowledged) > WRITERS * crashes


async def _agrees(engine: RedisEngine, acknowledged: dict[bytes, int]) -> None:
    rows = await walk(engine, Range.prefix(b"log/"))
    for _, record in rows:
        assert await engine.read([b"a/" + record.value, b"b/" + record.value]) == [record] * 2
    assert {record.value: record.revision for _, record in rows} == acknowledged
    assert len(rows) == len(set(acknowledged.values())) == len(acknowledged)
    assert await engine.check() == []


def test_a_server_that_may_have_lost_writes_begins_another_lineage() -> None:
    async def test() -> None:
        with redis_server(appendfsync="everysec") as server:
            config = redis_config("a", port=server.port)
            async with holdfast.open(config, housekeeping=False) as db:
                await db.entries.set("a", 1)
                old = db.cursor
            server.stop()
            server.start()
            async with holdfast.open(config, housekeeping=False) as db:
                assert (await db.entries.require("a")).value == 1
                assert Cursor.parse(old).lineage != Cursor.parse(db.cursor).lineage
                with pytest.raises(Compacted, match="lineage"):
                    async with db.watch(since=old) as changes:
                        await anext(changes)
                later = await db.entries.set("a", 2)
                kept = Cursor.parse(db.cursor).lineage
                assert later.revision > Cursor.parse(old).revision
            async with opened(config) as engine:
                assert engine.lineage == kept, "one loss, one new lineage"

    run(test)


def test_a_replica_that_lacked_writes_begins_another_lineage() -> None:
    """Who was told of a commit that the promoted replica never got is told by its cursor."""

    async def test() -> None:
        with (
            redis_server(appendfsync=None) as primary,
            redis_server(appendfsync=None, replicaof=f"127.0.0.1 {primary.port}") as replica,
        ):
            config = redis_config("a", port=primary.port, hosts=f"127.0.0.1:{replica.port}")
            await linked(replica.port, primary.port)
            async with opened(config) as engine:
                await put(engine, b"a", b"kept")
                await told(primary.port, "WAIT", 1, 5000)
                await asyncio.sleep(0.05)
                await told(replica.port, "REPLICAOF", "NO", "ONE")
                for number in range(5):
                    newest = await put(engine, b"a", b"lost %d" % number)
                old = engine.lineage
                waiting = asyncio.create_task(engine.wait(newest))
                await asyncio.sleep(0.05)
                primary.crash()
                assert await value(engine, b"a") == b"kept"
                assert engine.lineage != old
                later = await put(engine, b"a", b"new")
                assert later > newest, "a revision was given out twice"
                assert await waiting > newest
            async with opened(redis_config("a", port=replica.port)) as engine:
                assert engine.lineage != old
                assert await engine.check() == []

    run(test)


def test_replicas_have_a_write_before_it_is_acknowledged() -> None:
    async def test() -> None:
        with (
            redis_server(appendfsync=None) as primary,
            redis_server(appendfsync=None, replicaof=f"127.0.0.1 {primary.port}") as replica,
        ):
            config = redis_config("a", port=primary.port, wait_replicas=1, wait_timeout=0.2)
            await linked(replica.port, primary.port)
            async with opened(config) as engine:
                reader = redis_config("a", port=replica.port, read_only=True)
                async with opened(reader) as there:
                    for number in range(50):
                        await put(engine, b"a", b"%d" % number)
                        assert await value(there, b"a") == b"%d" % number
                assert replica.process is not None
                replica.process.send_signal(signal.SIGSTOP)
                try:
                    batch = Batch([Append(b"log", b"")], id=b"mine")
                    with pytest.raises(OutcomeUnknown, match="1 replicas were"):
                        await engine.commit(batch)
                    assert await value(engine, b"a") == b"49", "reads are not held up"
                finally:
                    replica.process.send_signal(signal.SIGCONT)
                await engine.commit(batch)
                assert len((await engine.scan(Range.prefix(b"log"))).rows) == 1

    run(test)


@pytest.mark.row("I-101")
def test_a_server_that_is_killed_under_a_waiting_call_is_a_lost_connection(tmp_path: Path) -> None:
    async def test() -> None:
        with redis_server() as server:
            config = redis_config("a", port=server.port, reconnect_timeout=0.2)
            async with opened(config) as engine:
                waiting = asyncio.create_task(engine.wait(await engine.head()))
                await asyncio.sleep(0.1)
                server.crash()
                with pytest.raises(ConnectionLost) as lost:
                    await waiting
                assert lost.value.code == "CONNECTION_LOST"
                with pytest.raises(StoreError) as failed:
                    await engine.read([b"a"])
                assert failed.value.retryable
                server.start()
                assert await value(engine, b"a") is None

    run(test)


def test_a_server_that_loads_its_data_is_awaited() -> None:
    async def test() -> None:
        with redis_server(
            appendfsync=None, key_load_delay=3000, loading_process_events_interval_bytes=1024
        ) as server:
            config = redis_config("a", port=server.port)
            async with opened(config) as engine:
                for number in range(40):
                    await put(engine, b"k%d" % number, bytes(2000))
                for number in range(200):
                    await told(server.port, "SET", f"other{number}", "x" * 2000)
                await told(server.port, "SAVE")
                server.crash()
                await asyncio.to_thread(_start_without_waiting, server)
                assert b"loading:1" in await _facts(server)
                assert await value(engine, b"k0") == bytes(2000)
                assert await put(engine, b"after") > 40
            server.crash()
            await asyncio.to_thread(_start_without_waiting, server)
            assert b"loading:1" in await _facts(server)
            with pytest.raises(ConnectionLost, match="loads"):
                async with opened(config):
                    raise AssertionError

    run(test)


def _start_without_waiting(server: Server) -> None:
    ready, server.ready = server.ready, lambda _: True
    server.start()
    server.ready = ready


async def _facts(server: Server) -> bytes:
    while True:
        try:
            facts: bytes = await told(server.port, "INFO", "persistence")
        except StoreError:
            await asyncio.sleep(0.01)
        else:
            return facts
