"""Callers on several loops and on none, who are cancelled, interrupted, too many, or forked."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Answer, Append, Batch, Put
from holdfast.contract.errors import Overloaded, StoreClosed, TimedOut, Unsupported, WrongContext
from holdfast.contract.record import Range, Record
from holdfast.runtime.drive import DrivenIterator
from holdfast.runtime.system import drive
from holdfast.testing.subject import increment
from tests.engines.remote.loopback_engine import LoopbackEngine
from tests.engines.remote.scene import engine_of, opened, put, round_trips, run, value

# --- Without a loop, and on several -----------------------------------------------------------


def test_a_caller_without_a_loop_does_all_it_wants(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    before = threading.enumerate()
    drive(engine.open())
    assert drive(engine.commit(Batch([Put(b"a", b"1")]))).revision == 1
    assert drive(engine.read([b"a"])) == [Record(b"1", 1)]
    drive(engine.transact([b"a"], increment(b"a")))
    assert drive(engine.scan(Range())).rows == [(b"a", Record(b"2", 2))]
    assert drive(engine.wait(1)) == drive(engine.head()) == 2
    [thread] = [one for one in threading.enumerate() if one not in before]  # With a loop, for all.
    drive(engine.close())
    drive(engine.close())
    assert not thread.is_alive()
    with pytest.raises(StoreClosed):
        drive(engine.read([b"a"]))


def test_threads_share_the_portal_and_its_round_trips(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    drive(engine.open())

    def work() -> None:
        for _ in range(20):
            drive(engine.transact([b"n"], increment(b"n")))

    async def count() -> dict[str, int]:
        workers = [threading.Thread(target=work) for _ in range(8)]

        async def all_of_them() -> None:
            for worker in workers:
                worker.start()
            for worker in workers:
                await asyncio.to_thread(worker.join)

        return await round_trips(engine, all_of_them)

    trips = asyncio.run(count())
    assert drive(engine.read([b"n"]))[0] == Record(b"160", 160)
    assert trips["commit_many"] < 120, "threads that write at once share round trips"
    drive(engine.close())


def test_loops_and_threads_use_one_engine_at_once(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    drive(engine.open())

    async def count() -> None:
        await asyncio.gather(*(engine.transact([b"n"], increment(b"n")) for _ in range(30)))

    def on_a_loop() -> None:
        asyncio.run(count())

    def without() -> None:
        for _ in range(30):
            drive(engine.transact([b"n"], increment(b"n")))

    async def once_more() -> None:
        assert await value(engine, b"n") == b"90"
        assert len(engine._sites) == 2, "what ended loops left is forgotten"
        await engine.close()

    def everything() -> None:
        workers = [threading.Thread(target=one) for one in (on_a_loop, on_a_loop, without)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert drive(engine.read([b"n"]))[0] == Record(b"90", 90)
        asyncio.run(once_more())
        gc.collect()

    # The loops end while their connections are open: as with any that is not closed, it is said.
    with pytest.warns(ResourceWarning):
        everything()


def test_an_engine_opened_on_a_loop_is_closed_by_a_thread(tmp_path: Path) -> None:
    async def main() -> None:
        engine = engine_of(tmp_path)
        await engine.open()
        await put(engine, b"a", b"1")
        await asyncio.to_thread(lambda: drive(engine.close()))
        with pytest.raises(StoreClosed):
            await engine.read([b"a"])
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "its loop has let go of the server"

    asyncio.run(main())


def test_threads_that_meet_a_close_are_served_or_refused_and_none_hangs(tmp_path: Path) -> None:
    for _ in range(10):
        engine = engine_of(tmp_path)
        drive(engine.open())
        outcomes: list[object] = []

        def work(engine: LoopbackEngine = engine, outcomes: list[object] = outcomes) -> None:
            try:
                while True:
                    drive(engine.read([b"a"]))
            except StoreClosed as closed:
                outcomes.append(closed)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(6)]
        for worker in workers:
            worker.start()
        time.sleep(0.005)
        drive(engine.close())
        for worker in workers:
            worker.join(10)
        assert len(outcomes) == 6, "a thread hangs"


def test_a_function_that_calls_back_without_a_loop_is_refused_by_name(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    drive(engine.open())

    def decide(records: list[Record | None], revision: int) -> Answer:
        drive(engine.read([b"a"]))
        return None

    with pytest.raises(WrongContext, match="cannot use the same database itself"):
        drive(engine.transact([b"a"], decide))
    drive(engine.transact([b"n"], increment(b"n")))
    drive(engine.close())


# --- Cancelled, interrupted -------------------------------------------------------------------


def test_a_cancelled_commit_is_not_withdrawn_and_disturbs_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            works = [
                asyncio.create_task(engine.commit(Batch([Append(b"log", b"%d" % number)])))
                for number in range(32)
            ]
            await asyncio.sleep(0)
            for number, work in enumerate(works):
                if number % 2:
                    work.cancel()
            outcomes = await asyncio.gather(*works, return_exceptions=True)
            assert sum(isinstance(one, asyncio.CancelledError) for one in outcomes) == 16
            await put(engine, b"last")
            assert len((await engine.scan(Range.prefix(b"log"))).rows) == 32

    run(test)


def test_cancelled_reads_leave_the_connection_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, b"a", b"1")
            for _ in range(20):
                reading = [asyncio.create_task(engine.read([b"a"])) for _ in range(4)]
                reading += [asyncio.create_task(engine.scan(Range())) for _ in range(4)]  # type: ignore[arg-type]
                await asyncio.sleep(0.0005)
                for task in reading[::2]:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)
            assert await value(engine, b"a") == b"1"
            (site,) = engine._sites.values()
            assert not site.reading._waiting

    run(test)


def test_a_loop_that_ends_in_the_midst_of_writes_hangs_nobody(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)

    async def main() -> None:
        await engine.open()
        for _ in range(8):
            asyncio.get_running_loop().create_task(engine.transact([b"n"], increment(b"n")))
        await asyncio.sleep(0.0005)  # And the rest is cancelled with the loop.

    def everything() -> None:
        began = time.monotonic()
        asyncio.run(main())
        assert time.monotonic() - began < 5
        drive(engine.close())
        gc.collect()

    with pytest.warns(ResourceWarning):
        everything()


def test_a_driven_wait_can_be_interrupted_and_leaves_no_question_behind(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    drive(engine.open())

    async def heads() -> object:
        yield await engine.wait(0)

    iterator: DrivenIterator[int] = DrivenIterator(heads())  # type: ignore[arg-type]
    with pytest.raises(TimedOut):
        iterator.take(timeout_s=0.05)
    iterator.close()
    assert drive(engine.commit(Batch([Put(b"a", b"")]))).revision == 1
    (site,) = engine._sites.values()
    deadline = time.monotonic() + 5
    while site.waiting._waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not site.waiting._waiting
    drive(engine.close())


# --- Too many ---------------------------------------------------------------------------------


def test_more_callers_than_may_wait_are_refused_and_the_others_are_served(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path, waiting_max=8) as engine:
            kinds: list[Callable[[], Coroutine[Any, Any, object]]] = [
                lambda: engine.commit(Batch([Put(b"a", b"")])),
                lambda: engine.read([b"a"]),
                lambda: engine.wait(100),
            ]
            for kind in kinds:
                tasks = [asyncio.create_task(kind()) for _ in range(20)]
                await asyncio.sleep(0.02)
                while not all(task.done() for task in tasks):
                    await put(engine, b"other")
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                refused = [one for one in outcomes if isinstance(one, Overloaded)]
                assert 0 < len(refused) < 20
                assert all("waiting_max" in str(one) for one in refused)
                assert all(one in refused or not isinstance(one, BaseException) for one in outcomes)
            assert await value(engine, b"a") == b""

    run(test)


def test_no_more_requests_are_on_their_way_than_allowed(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path, requests_max=3) as engine:
            await put(engine, b"a", b"1")
            (site,) = engine._sites.values()
            transport = site.line._transport
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, len(transport._answers))  # type: ignore[union-attr]
                    await asyncio.sleep(0)

            watching = asyncio.create_task(watch())
            await asyncio.gather(*(engine.scan(Range()) for _ in range(40)))
            watching.cancel()
            assert most == 3

    run(test)


def test_a_group_is_bounded_in_bytes(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            large = bytes(6 * 1024 * 1024)

            async def write() -> None:
                await asyncio.gather(*(put(engine, b"%d" % number, large) for number in range(6)))

            trips = await round_trips(engine, write)
            assert trips == {"commit_many": 3}
            assert len(await value(engine, b"5") or b"") == len(large)

    run(test)


# --- What it cannot do, forks -----------------------------------------------------------------


def test_it_says_that_it_has_no_snapshots(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            for verb in (engine.snapshot, engine.compact):
                with pytest.raises(Unsupported, match="loopback"):
                    await verb()
            assert not engine.capabilities.snapshots
            page = await engine.scan(Range())
            assert page.revision == 0, "with it what was read can be checked all the same"

    run(test)


def test_a_forked_child_leaves_the_connection_to_its_parent(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    drive(engine.open())
    drive(engine.commit(Batch([Put(b"a", b"1")])))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                drive(engine.read([b"a"]))
            except WrongContext:
                drive(engine.close())
                gc.collect()  # A transport that goes takes its socket from the shared selector.
                own = engine_of(tmp_path)
                drive(own.open())
                code = 0 if drive(own.read([b"a"])) == [Record(b"1", 1)] else 2
                drive(own.close())
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert drive(engine.read([b"a"])) == [Record(b"1", 1)]
    drive(engine.close())
