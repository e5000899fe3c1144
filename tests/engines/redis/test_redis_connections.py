"""Connections that are cut, scripts that are forgotten, callers that are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.contract.batch import Append, Batch, Delete, Put
from holdfast.contract.record import Range
from holdfast.engines.redis.connection import Connection, Word
from holdfast.testing.subject import increment
from tests.engines.redis.scene import eventually, opened, put, redis_config, run, told, value
from tests.servers.processes import Server, redis_server


@pytest.fixture
def server() -> Iterator[Server]:
    """One of its own: what is done to it concerns all its clients."""
    with redis_server(appendfsync=None) as started:
        yield started


def test_connections_cut_under_load_lose_nothing_and_repeat_nothing(server: Server) -> None:
    async def test() -> None:
        async with opened(redis_config("a", port=server.port)) as engine:
            done = asyncio.Event()

            async def cut() -> None:
                while not done.is_set():
                    await told(server.port, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                    await asyncio.sleep(0.01)

            cutting = asyncio.create_task(cut())
            for _ in range(20):
                await asyncio.gather(
                    *(engine.transact([b"n"], increment(b"n")) for _ in range(16)),
                    *(engine.commit(Batch([Append(b"log", b"")])) for _ in range(16)),
                    *(engine.read([b"n"]) for _ in range(16)),
                )
            done.set()
            await cutting
            assert await value(engine, b"n") == b"320"
            assert len((await engine.scan(Range.prefix(b"log"))).rows) == 320
            assert await engine.head() == 640

    run(test)


def test_scripts_that_are_forgotten_are_told_again_in_order(server: Server) -> None:
    async def test() -> None:
        async with opened(redis_config("a", port=server.port)) as engine:
            done = asyncio.Event()

            async def forget() -> None:
                while not done.is_set():
                    await told(server.port, "SCRIPT", "FLUSH", "SYNC")

            forgetting = asyncio.create_task(forget())
            for number in range(40):
                receipts = await asyncio.gather(
                    *(engine.commit(Batch([Append(b"log", b"%d" % task)])) for task in range(16))
                )
                revisions = [receipt.revision for receipt in receipts]
                assert revisions == sorted(revisions), "they were gathered in this order"
                assert (await engine.scan(Range(limit=1))).rows
                await put(engine, b"k", b"%d" % number)
                assert await value(engine, b"k") == b"%d" % number
            done.set()
            await forgetting
            page = await engine.scan(Range.prefix(b"log"))
            assert [record.value for _, record in page.rows] == [
                b"%d" % task for _ in range(40) for task in range(16)
            ]

    run(test)


def test_who_waits_hears_although_the_listening_connection_was_cut(server: Server) -> None:
    async def test() -> None:
        config = redis_config("a", port=server.port)
        async with opened(config) as engine, opened(config) as other:
            for _ in range(5):
                waiting = asyncio.create_task(engine.wait(await engine.head()))
                await asyncio.sleep(0.03)
                assert await told(server.port, "CLIENT", "KILL", "TYPE", "pubsub") == 1
                written = await put(other, b"a")
                async with asyncio.timeout(2):
                    assert await waiting == written

    run(test)


def test_the_head_is_asked_for_once_it_is_subscribed_also_after_a_cancelled_wait(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(redis_config("a", port=server.port)) as engine:
            (site,) = engine._sites.values()
            news = (await site.line.connected())._news  # type: ignore[attr-defined]
            send, sent = Connection.send, asyncio.Event()

            def send_late(connection: Connection, *words: Word) -> None:
                asyncio.get_running_loop().call_later(0.05, send, connection, *words)
                sent.set()

            monkeypatch.setattr(Connection, "send", send_late)
            ask_head, subscribed = news._ask_head, list[bool]()
            asking = asyncio.Event()

            async def asked() -> int:
                future = news._subscribed
                subscribed.append(future.done() and not future.cancelled())
                asking.set()
                head: int = await ask_head()
                return head

            monkeypatch.setattr(news, "_ask_head", asked)
            first = asyncio.create_task(engine.wait(0))
            await sent.wait()
            first.cancel()
            await asyncio.wait([first])
            second = asyncio.create_task(engine.wait(0))
            await asking.wait()
            assert subscribed == [True]
            assert await put(engine, b"a") == await second

    run(test)


def test_a_listener_that_is_deaf_is_found_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that died without a word tells of nothing; so the head is asked for."""
    monkeypatch.setattr("holdfast.engines.remote.news.LOOK_INTERVAL_S", 0.1)

    async def test() -> None:
        config = redis_config("a", port=server.port)
        async with opened(config) as engine, opened(config) as other:
            waiting = asyncio.create_task(engine.wait(await engine.head()))
            await asyncio.sleep(0.05)
            monkeypatch.setattr("holdfast.engines.redis.news.News._hear", lambda *_: None)
            listeners = await told(
                server.port, "PUBSUB", "SHARDNUMSUB", f"{{{config.prefix}}}:commits:0"
            )
            assert listeners[1] == 1
            # As a wall between the two would: no message, no end.
            await told(server.port, "CLIENT", "PAUSE", 1, "WRITE")
            written = await put(other, b"a")
            monkeypatch.undo()
            async with asyncio.timeout(8):
                assert await waiting == written

    run(test)


def test_a_subscription_that_nobody_uses_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.engines.remote.news.LINGER_S", 0.05)

    async def test() -> None:
        config = redis_config("a", port=server.port)
        channel = f"{{{config.prefix}}}:commits:0"
        async with opened(config) as engine:
            waiting = asyncio.create_task(engine.wait(await engine.head()))
            await asyncio.sleep(0.02)
            await put(engine, b"a")
            await waiting
            assert (await told(server.port, "PUBSUB", "SHARDNUMSUB", channel))[1] == 1
            await asyncio.sleep(0.1)
            await put(engine, b"a")

            async def nobody_listens() -> bool:
                count: int = (await told(server.port, "PUBSUB", "SHARDNUMSUB", channel))[1]
                return count == 0

            await eventually(nobody_listens)

    run(test)


def test_answers_of_cancelled_callers_reach_nobody_else(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(redis_config(tmp_path)) as engine:
            for number in range(50):
                await put(engine, b"k%d" % number, b"%d" % number)
            for turn in range(30):
                tasks = [asyncio.create_task(engine.read([b"k%d" % n])) for n in range(50)]
                tasks += [asyncio.create_task(engine.scan(Range(b"k%d" % n))) for n in range(5)]  # type: ignore[arg-type]
                for _ in range(turn % 4):
                    await asyncio.sleep(0)
                for task in tasks[::3]:
                    task.cancel()
                found = await asyncio.gather(*tasks[:50], return_exceptions=True)
                for number, records in enumerate(found):
                    if not isinstance(records, BaseException):
                        assert records[0].value == b"%d" % number  # type: ignore[union-attr]

    run(test)


def test_a_cancelled_commit_stands_and_the_next_ones_are_right(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(redis_config(tmp_path)) as engine:
            for number in range(30):
                task = asyncio.create_task(put(engine, b"a", b"%d" % number))
                for _ in range(number % 3 + 1):
                    await asyncio.sleep(0)
                task.cancel()
                await engine.commit(Batch([Put(b"b", b""), Delete(b"b")]))
            assert await value(engine, b"a") == b"29"
            assert await engine.head() == 60

    run(test)
