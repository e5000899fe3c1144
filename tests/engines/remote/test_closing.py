"""Closing: what was handed over is finished, and closes may meet each other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from holdfast.contract.errors import StoreClosed
from holdfast.contract.record import Range
from holdfast.runtime.system import drive
from tests.engines.remote.loopback_engine import LoopbackEngine
from tests.engines.remote.scene import engine_of, opened, plan, put, run, value


def test_closing_finishes_what_was_handed_over_and_refuses_the_rest(tmp_path: Path) -> None:
    async def test() -> None:
        engine = engine_of(tmp_path)
        await engine.open()
        works = [asyncio.create_task(put(engine, b"%d" % number)) for number in range(300)]
        await asyncio.sleep(0)
        await engine.close()
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        assert all(isinstance(one, int | StoreClosed) for one in outcomes)
        done = {b"%d" % number for number, one in enumerate(outcomes) if isinstance(one, int)}
        async with opened(tmp_path) as again:
            assert {key for key, _ in (await again.scan(Range())).rows} == done

    run(test)


def test_a_close_that_meets_another_one_is_a_close(tmp_path: Path) -> None:
    async def test() -> None:
        for _ in range(30):
            engine = engine_of(tmp_path)
            await engine.open()
            drive(engine.head())  # On the portal, which the first close ends under the others.
            # A handle's close goes on when it is cancelled, and is then called again.
            outcomes = await asyncio.gather(
                *(engine.close() for _ in range(3)), return_exceptions=True
            )
            assert outcomes == [None] * 3, "nobody cancelled these"
            assert not engine._sites

    run(test)


def test_a_close_after_the_loop_cancelled_everything_ends(tmp_path: Path) -> None:
    async def test() -> None:
        engine = engine_of(tmp_path)
        await engine.open()
        writing = asyncio.create_task(put(engine, b"a"))
        await asyncio.sleep(0)
        # What sends the write has not begun. A loop that ends cancels all of its tasks like this.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert await put(engine, b"b") == 2, "who cleans up may still write"
        assert await value(engine, b"a") == b"", "a cancelled write is not withdrawn"
        writing = asyncio.create_task(put(engine, b"c"))
        await asyncio.sleep(0)
        (site,) = engine._sites.values()
        assert site.gathering._leader is not None
        site.gathering._leader.cancel()
        await asyncio.sleep(0)
        await engine.close()
        with pytest.raises(StoreClosed):
            await writing

    run(test)


def test_threads_may_close_an_engine_at_once(tmp_path: Path) -> None:
    for _ in range(30):
        engine = engine_of(tmp_path)
        drive(engine.open())
        outcomes: list[object] = []
        together = threading.Barrier(4)

        def close(
            engine: LoopbackEngine = engine,
            outcomes: list[object] = outcomes,
            together: threading.Barrier = together,
        ) -> None:
            together.wait()
            try:
                drive(engine.close())
            except BaseException as error:
                outcomes.append(error)
            else:
                outcomes.append("closed")

        closing = [threading.Thread(target=close, daemon=True) for _ in range(4)]
        for one in closing:
            one.start()
        for one in closing:
            one.join(10)
        assert outcomes == ["closed"] * 4


def test_closing_while_the_server_is_silent_ends(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path, answer_timeout=0.1, reconnect_timeout=0.2) as engine:
            await plan(engine, "commit_many", *["stall"] * 50)
            writing = asyncio.create_task(put(engine, b"a"))
            await asyncio.sleep(0.01)
            await engine.close()
            assert isinstance((await asyncio.gather(writing, return_exceptions=True))[0], Exception)
            await plan(engine, "commit_many")

    run(test)
