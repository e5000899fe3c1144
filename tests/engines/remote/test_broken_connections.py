"""Connections that break before, while or after the server works: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdfast.contract.batch import Append, Batch, Put
from holdfast.contract.errors import ConnectionLost, OutcomeUnknown, StoreNotFound
from holdfast.contract.record import Range, Record
from holdfast.runtime.system import system_components
from holdfast.testing.subject import increment
from tests.engines.remote.loopback_engine import LoopbackConfig, LoopbackEngine, loopback_config
from tests.engines.remote.scene import opened, plan, put, round_trips, run, told, value

BREAKS = ("drop_before", "drop_after")


@pytest.mark.parametrize("fault", BREAKS)
def test_a_commit_is_applied_once_however_the_connection_breaks(fault: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await plan(engine, "commit_many", fault, fault)
            receipt = await engine.commit(Batch([Append(b"log", b"1"), Put(b"a", b"1")]))
            page = await engine.scan(Range.prefix(b"log"))
            assert [record.revision for _, record in page.rows] == [receipt.revision]
            assert await engine.head() == receipt.revision == 1

    run(test)


@pytest.mark.parametrize("fault", BREAKS)
def test_a_group_of_many_is_applied_once(fault: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await plan(engine, "commit_many", "", fault, fault, "", fault)
            for _ in range(3):
                await asyncio.gather(
                    *(engine.transact([b"n"], increment(b"n")) for _ in range(16)),
                    *(engine.commit(Batch([Append(b"log", b"")])) for _ in range(16)),
                )
            assert await value(engine, b"n") == b"48"
            assert len((await engine.scan(Range.prefix(b"log"))).rows) == 48
            assert await engine.head() == 96

    run(test)


@pytest.mark.parametrize("fault", [*BREAKS, "stall"])
@pytest.mark.parametrize("verb", ["read", "scan"])
def test_reads_are_asked_again(verb: str, fault: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path, answer_timeout=0.2) as engine:
            await put(engine, b"a", b"1")
            await plan(engine, verb, fault)
            if verb == "read":
                assert await engine.read([b"a"]) == [Record(b"1", 1)]
            else:
                assert (await engine.scan(Range())).rows == [(b"a", Record(b"1", 1))]

    run(test)


def test_a_transaction_sent_again_tells_what_it_replaced(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, b"n", b"7")
            await plan(engine, "commit_many", "drop_after")
            receipt = await engine.transact([b"n"], increment(b"n"), previous=True)
            assert receipt.previous == {b"n": Record(b"7", 1)}

    run(test)


def test_who_never_hears_is_told_that_the_outcome_is_unknown_and_may_repeat(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path, reconnect_timeout=0.1) as engine:
            batch = Batch([Append(b"log", b"1")], id=b"mine")
            await plan(engine, "commit_many", *["drop_after"] * 50)
            with pytest.raises(OutcomeUnknown):
                await engine.commit(batch)
            await plan(engine, "commit_many")
            await engine.commit(batch)
            assert len((await engine.scan(Range())).rows) == 1

    run(test)


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path, answer_timeout=0.05, reconnect_timeout=0.2) as engine:
            await plan(engine, "commit_many", *["stall"] * 50)
            with pytest.raises(OutcomeUnknown, match="answer_timeout"):
                await engine.commit(Batch([Put(b"a", b"")]))
            await plan(engine, "read", *["stall"] * 50)
            with pytest.raises(ConnectionLost, match="answer_timeout"):
                await engine.read([b"a"])
            await plan(engine, "read")
            await plan(engine, "commit_many")
            await put(engine, b"b")
            assert await value(engine, b"b") == b""

    run(test)


def test_one_that_fails_does_not_fail_its_neighbours_for_ever(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, b"a", b"1")
            await plan(engine, "read", "drop_before")
            found = await asyncio.gather(*(engine.read([b"a"]) for _ in range(32)),
                                         *(engine.scan(Range()) for _ in range(32)))  # fmt: skip
            assert len(found) == 64

    run(test)


def test_a_wait_goes_on_over_a_broken_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine, opened(tmp_path) as other:
            await plan(engine, "wait_above", "drop_before", "drop_before")
            waiting = asyncio.create_task(engine.wait(0))
            await asyncio.sleep(0.1)
            assert await put(other, b"a") == await waiting

    run(test)


def test_a_database_that_was_restored_is_of_another_lineage(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            for number in range(5):
                await put(engine, b"%d" % number)
            before = engine.lineage
            assert isinstance(engine.config, LoopbackConfig)
            with pytest.raises(OutcomeUnknown):  # It breaks the connection that asks, too.
                await told(engine.config, "restore")
            assert await engine.head() == 0
            assert engine.lineage != before
            waiting = asyncio.create_task(engine.wait(0))
            await asyncio.sleep(0.02)
            assert not waiting.done(), "a revision of the old line woke who waits on the new one"
            assert await put(engine, b"a") == 1 == await waiting

    run(test)


def test_no_server_is_said_at_opening_and_nothing_is_left(tmp_path: Path) -> None:
    async def test() -> None:
        config = LoopbackConfig(
            host="127.0.0.1", port=1, database="none", reconnect_timeout=0.0, connect_timeout=1.0
        )
        engine = LoopbackEngine(config, system_components())
        tasks = asyncio.all_tasks()
        with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:1"):
            await engine.open()
        assert asyncio.all_tasks() == tasks
        await engine.close()

    run(test)


def test_a_server_that_takes_no_connection_in_time_is_given_up() -> None:
    async def test() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            config = LoopbackConfig(
                host="127.0.0.1", port=server.sockets[0].getsockname()[1], connect_timeout=0.05
            )
            engine = LoopbackEngine(config, system_components())
            with pytest.raises(ConnectionLost, match="connect_timeout"):
                await engine.open()

    run(test)


def test_an_engine_whose_opening_failed_can_be_opened(tmp_path: Path) -> None:
    async def test() -> None:
        missing = LoopbackEngine(loopback_config(str(tmp_path), create=False), system_components())
        with pytest.raises(StoreNotFound):
            await missing.open()
        async with opened(tmp_path) as engine:
            await put(engine, b"a", b"1")
            await missing.open()
            assert await missing.read([b"a"]) == [Record(b"1", 1)]
            await missing.close()

    run(test)


def test_a_broken_connection_costs_one_round_trip_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await plan(engine, "commit_many", "drop_after")
            trips = await round_trips(engine, lambda: engine.commit(Batch([Put(b"a", b"")])))
            assert trips == {"commit_many": 2}

    run(test)
