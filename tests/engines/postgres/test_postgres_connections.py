"""Connections that are cut, and callers that are cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from holdfast.contract.batch import Append, Batch, Delete, Put
from holdfast.contract.record import Range
from holdfast.testing.subject import increment
from tests.engines.postgres.scene import opened, postgres_config, put, run, told, value

CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'holdfast' AND (query LIKE 'LISTEN%%') = %s AND query LIKE %s"""


async def cut(port: int, schema: str, *, listeners: bool) -> int:
    """End the sessions that last worked on that schema, or listen."""
    like = "LISTEN%" if listeners else f"%{schema}%"
    [(count,)] = await told(port, CUT, (listeners, like))
    return int(count)


def test_connections_cut_under_load_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine:
            done, times = asyncio.Event(), 0

            async def cutting() -> None:
                nonlocal times
                while not done.is_set():
                    times += await cut(config.port, config.schema, listeners=False)
                    await asyncio.sleep(0.03)

            task = asyncio.create_task(cutting())
            for _ in range(10):
                await asyncio.gather(
                    *(engine.transact([b"n"], increment(b"n")) for _ in range(16)),
                    *(engine.commit(Batch([Append(b"log", b"")])) for _ in range(16)),
                    *(engine.read([b"n"]) for _ in range(16)),
                )
            done.set()
            await task
            assert times > 0
            assert await value(engine, b"n") == b"160"
            assert len((await engine.scan(Range.prefix(b"log"))).rows) == 160
            assert await engine.head() == 320

    run(test)


def test_who_waits_hears_although_the_listening_connection_was_cut(tmp_path: Path) -> None:
    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine, opened(config) as other:
            for _ in range(3):
                waiting = asyncio.create_task(engine.wait(await engine.head()))
                for _ in range(500):
                    if await cut(config.port, config.schema, listeners=True):
                        break
                    await asyncio.sleep(0.02)
                written = await put(other, b"a")
                async with asyncio.timeout(10):
                    assert await waiting == written

    run(test)


def test_a_listener_that_nobody_needs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that listens and takes nothing would fill the server's queue for everybody."""
    monkeypatch.setattr("holdfast.engines.remote.news.LINGER_S", 0.1)

    async def listeners(port: int, channel: str) -> int:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s"
        [(count,)] = await told(port, statement, (f"LISTEN%{channel}%",))
        return int(count)

    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine:
            waiting = asyncio.create_task(engine.wait(await engine.head()))
            await asyncio.sleep(0.1)
            await put(engine, b"a")
            await waiting
            [site] = engine._sites.values()
            transport = await site.line.connected()
            channel = transport._channel  # type: ignore[attr-defined]
            for _ in range(500):
                if not await listeners(config.port, channel):
                    break
                await asyncio.sleep(0.02)
            else:
                raise AssertionError("it listens on")
            waiting = asyncio.create_task(engine.wait(await engine.head()))
            await asyncio.sleep(0.05)
            assert await put(engine, b"a") == await waiting

    run(test)


def test_a_listener_that_is_deaf_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that died without a word tells of nothing; so the head is asked for."""
    monkeypatch.setattr("holdfast.engines.remote.news.LOOK_INTERVAL_S", 0.1)

    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine, opened(config) as other:
            waiting = asyncio.create_task(engine.wait(await engine.head()))
            await asyncio.sleep(0.1)
            connection = await psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=config.port, user="postgres", dbname="postgres"
            )
            async with connection:
                # Written past the engine: nobody is notified.
                await connection.execute(f"UPDATE {config.schema}.head SET revision = 7")
            async with asyncio.timeout(5):
                assert await waiting == 7
            assert await put(other, b"a") == 8

    run(test)


def test_answers_of_cancelled_callers_reach_nobody_else(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(postgres_config(tmp_path)) as engine:
            await engine.commit(Batch([Put(b"k%d" % n, b"%d" % n) for n in range(50)]))
            for turn in range(20):
                tasks = [asyncio.create_task(engine.read([b"k%d" % n])) for n in range(50)]
                for _ in range(turn % 5):
                    await asyncio.sleep(0)
                for task in tasks[::3]:
                    task.cancel()
                found = await asyncio.gather(*tasks, return_exceptions=True)
                for number, records in enumerate(found):
                    if not isinstance(records, BaseException):
                        assert records[0] is not None
                        assert records[0].value == b"%d" % number

    run(test)


def test_a_cancelled_commit_stands_and_others_see_the_next_ones(tmp_path: Path) -> None:
    """A connection given back inside a transaction would hide what is written over it."""

    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine, opened(config) as other:
            for number in range(20):
                task = asyncio.create_task(put(engine, b"a", b"%d" % number))
                for _ in range(number % 3 + 1):
                    await asyncio.sleep(0)
                task.cancel()
                receipt = await engine.commit(Batch([Put(b"b", b""), Delete(b"b")]))
                assert await other.head() == receipt.revision
            assert await value(other, b"a") == b"19"

    run(test)


def test_a_read_that_takes_too_long_leaves_no_session_behind(tmp_path: Path) -> None:
    async def test() -> None:
        config = postgres_config(tmp_path, answer_timeout=0.3, reconnect_timeout=0.0)
        async with opened(config) as engine:
            await put(engine, b"a", b"1")
            blocker = await psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=config.port, user="postgres", dbname="postgres"
            )
            async with blocker:
                await blocker.execute(f"LOCK TABLE {config.schema}.record IN EXCLUSIVE MODE")
                with pytest.raises(Exception, match="answer_timeout"):
                    await put(engine, b"a", b"2")
            assert await value(engine, b"a") in (b"1", b"2")
            await put(engine, b"a", b"3")
            assert await value(engine, b"a") == b"3"

    run(test)
