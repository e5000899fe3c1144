"""Work in a thread ends before what it uses is closed, also when its caller is cancelled."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.backups.turns import Turns
from holdfast.contract.errors import StoreClosed
from holdfast.runtime.system import SystemHost
from tests.store.scene import until


async def test_work_that_was_left_is_waited_for() -> None:
    turns = Turns(SystemHost())
    begun, free, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert free.wait(20)
        ended.set()

    task = asyncio.create_task(turns.take(work))
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    end = asyncio.create_task(turns.end())
    await asyncio.sleep(0.02)
    assert not end.done()
    assert turns.over
    free.set()
    await asyncio.wait_for(end, 20)
    assert ended.is_set()
    with pytest.raises(StoreClosed):
        await turns.take(lambda: None)


async def test_work_that_never_got_a_thread_is_not_waited_for() -> None:
    turns, free, ran = Turns(SystemHost()), threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        pool.submit(free.wait, 20)
        task = asyncio.create_task(turns.take(ran.set))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(turns.end(), 20)
        free.set()
    assert not ran.is_set()


async def test_what_work_raises_reaches_its_caller_and_the_next_turn_comes() -> None:
    turns = Turns(SystemHost())
    for error in (KeyError, StopIteration, SystemExit):

        def work(error: type[BaseException] = error) -> None:
            raise error("raised")

        with pytest.raises((error, RuntimeError)):
            await turns.take(work)
    assert await turns.take(lambda: 5) == 5
    await turns.end()
