"""Servers that end and come back: what was acknowledged, and what cursors are worth afterwards."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import holdfast
from holdfast.contract.batch import Append, Batch, Put
from holdfast.contract.errors import Compacted, ConnectionLost, StoreError
from holdfast.contract.record import Cursor, Range
from holdfast.engines.postgres import PostgresEngine
from holdfast.testing.subject import walk
from tests.engines.postgres.scene import opened, postgres_config, put, run, told, value
from tests.servers.processes import (
    POSTGRES_ACCOUNT,
    Server,
    executable,
    free_port,
    postgres_server,
)

WRITERS = 8
CRASHES = 3
CRASHES_TORTURE = 40


def test_crashes_among_commits_lose_nothing_and_repeat_nothing() -> None:
    crash_again_and_again(CRASHES)


@pytest.mark.torture
def test_forty_crashes_among_commits() -> None:
    crash_again_and_again(CRASHES_TORTURE)


def crash_again_and_again(crashes: int) -> None:
    acknowledged: dict[bytes, int] = {}

    async def writes(engine: PostgresEngine, writer: int, stop: asyncio.Event) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            mark = b"%d-%d" % (writer, number)
            batch = Batch(
                [Put(b"a/" + mark, mark), Append(b"log/", mark), Put(b"b/" + mark, mark)], mark
            )
            acknowledged[mark] = (await engine.commit(batch)).revision

    async def test() -> None:
        with postgres_server() as server:
            config = postgres_config("a", port=server.port, reconnect_timeout=40.0)
            async with opened(config) as engine:
                lineage, stop = engine.lineage, asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    for writer in range(WRITERS):
                        group.create_task(writes(engine, writer, stop))
                    for _ in range(crashes):
                        await asyncio.sleep(0.2)
                        await asyncio.to_thread(server.crash)
                        await asyncio.to_thread(server.start)
                    await asyncio.sleep(0.2)
                    stop.set()
                rows = await walk(engine, Range.prefix(b"log/"))
                for _, record in rows:
                    marks = [b"a/" + record.value, b"b/" + record.value]
                    assert await engine.read(marks) == [record] * 2
                assert {record.value: record.revision for _, record in rows} == acknowledged
                assert len(rows) == len(set(acknowledged.values())) == len(acknowledged)
                assert engine.lineage == lineage, "such a server keeps what it acknowledged"

    run(test, seconds=10 * crashes + 20)
    assert len(acknowledged) > WRITERS * crashes


def test_a_server_that_may_have_lost_writes_begins_another_lineage() -> None:
    """`relaxed` acknowledges before the flush, so after a restart nobody knows."""

    async def test() -> None:
        with postgres_server() as server:
            strict = postgres_config("a", port=server.port)
            relaxed = replace(strict, durability="relaxed")
            async with holdfast.open(relaxed, housekeeping=False) as db:
                await db.entries.set("a", 1)
                old = db.cursor
            async with opened(strict) as engine:
                assert engine.lineage == Cursor.parse(old).lineage
            server.stop()
            server.start()
            async with holdfast.open(strict, housekeeping=False) as db:
                assert Cursor.parse(old).lineage != Cursor.parse(db.cursor).lineage
                with pytest.raises(Compacted, match="lineage"):
                    async with db.watch(since=old) as changes:
                        await anext(changes)
                later = await db.entries.set("b", 2)
                assert later.revision > Cursor.parse(old).revision
                kept = Cursor.parse(db.cursor).lineage
            server.stop()
            server.start()
            async with opened(strict) as engine:
                assert engine.lineage == kept, "one loss, one new lineage"

    run(test)


def test_a_standby_that_lacked_writes_begins_another_lineage() -> None:
    async def test() -> None:
        with postgres_server() as primary:
            config = postgres_config("a", port=primary.port)
            async with opened(config) as engine:
                await put(engine, b"a", b"kept")
                lineage = engine.lineage
                with _standby(primary) as standby:
                    there = replace(config, port=standby.port)
                    reader = replace(there, read_only=True)
                    async with opened(reader) as reading:
                        assert reading.lineage == lineage
                        assert await value(reading, b"a") == b"kept"
                        waiting = asyncio.create_task(reading.wait(1))
                        seen = await put(engine, b"a", b"seen")
                        assert await waiting == seen
                    with pytest.raises(StoreError, match="standby"):
                        async with opened(there):
                            raise AssertionError
                    await told(standby.port, "SELECT pg_promote(true, 20)")
                    newest = await put(engine, b"a", b"lost")
                    async with opened(there) as promoted:
                        assert promoted.lineage != lineage
                        assert await value(promoted, b"a") == b"seen"
                        assert await put(promoted, b"a", b"new") > newest

    run(test)


@pytest.mark.row("I-101")
def test_a_server_that_is_killed_under_a_waiting_call_is_a_lost_connection() -> None:
    async def test() -> None:
        with postgres_server(fsync="off") as server:
            config = postgres_config("a", port=server.port, reconnect_timeout=0.2)
            async with opened(config) as engine:
                waiting = asyncio.create_task(engine.wait(await engine.head()))
                await asyncio.sleep(0.2)
                await asyncio.to_thread(server.crash)
                with pytest.raises(ConnectionLost) as lost:
                    await waiting
                assert lost.value.code == "CONNECTION_LOST"
                with pytest.raises(StoreError) as failed:
                    await engine.read([b"a"])
                assert failed.value.retryable
                await asyncio.to_thread(server.start)
                assert await value(engine, b"a") is None

    run(test)


@contextmanager
def _standby(primary: Server) -> Iterator[Server]:
    """A copy of the server that follows it."""
    folder = primary.folder / "standby"
    folder.mkdir()
    account = POSTGRES_ACCOUNT if os.geteuid() == 0 else None
    if account is not None:
        shutil.chown(folder, account, account)
    cluster: Path = folder / "cluster"
    subprocess.run(
        [executable("pg_basebackup"), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres",
         "-D", str(cluster), "-R", "-c", "fast"],
        check=True, user=account, group=account, cwd=folder,
        extra_groups=None if account is None else [], capture_output=True,
    )  # fmt: skip
    port = free_port()
    command = [
        str(cluster) if part == str(primary.folder / "cluster") else part
        for part in primary.command
    ]
    command[command.index("-p") + 1] = str(port)
    server = replace(primary, port=port, command=command, folder=folder, process=None)
    server.start()
    try:
        yield server
    finally:
        server.crash()
