"""Waiting on an event loop: completions, time-outs, cancellation, calls from the wrong place."""

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from holdfast.contract.errors import TimedOut, WrongContext
from holdfast.contract.runtime import Completion
from holdfast.runtime.system import LoopRuntime, SystemHost, ThreadRuntime, drive


async def test_a_completion_is_settled_from_the_loop_and_from_any_thread() -> None:
    host = SystemHost()
    here: Completion[str] = host.runtime().completion()
    here.settle("here")
    assert await here.wait() == "here"
    there: Completion[str] = host.runtime().completion()
    threading.Thread(target=there.settle, args=("there",)).start()
    assert await there.wait(10) == "there"
    failing: Completion[str] = host.runtime().completion()
    threading.Thread(target=failing.settle, args=(None, KeyError("x"))).start()
    with pytest.raises(KeyError):
        await failing.wait(10)


async def test_a_completion_is_settled_once() -> None:
    completion: Completion[int] = SystemHost().runtime().completion()
    completion.settle(1)
    completion.settle(2)
    completion.settle(None, KeyError())
    assert await completion.wait() == 1
    assert await completion.wait() == 1


async def test_a_wait_that_timed_out_may_be_tried_again() -> None:
    completion: Completion[int] = SystemHost().runtime().completion()
    with pytest.raises(TimedOut) as caught:
        await completion.wait(0.001)
    assert caught.value.timeout_s == 0.001
    completion.settle(7)
    assert await completion.wait(0.001) == 7


async def test_cancelling_who_waits_harms_nobody_else() -> None:
    host = SystemHost()
    completions: list[Completion[int]] = [host.runtime().completion() for _ in range(3)]
    tasks = [asyncio.ensure_future(one.wait()) for one in completions]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    host.settle((one, number, None) for number, one in enumerate(completions))
    assert await tasks[0] == 0
    assert await tasks[2] == 2
    assert tasks[1].cancelled()


async def test_a_cancelled_wait_with_a_limit_leaves_the_completion_usable() -> None:
    completion: Completion[int] = SystemHost().runtime().completion()
    task = asyncio.ensure_future(completion.wait(10))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    completion.settle(5)
    assert await completion.wait(1) == 5


async def test_many_are_settled_across_loops_and_threads() -> None:
    host = SystemHost()
    ready = threading.Event()
    elsewhere: list[Completion[int]] = []
    results: list[int] = []

    def other() -> None:
        async def work() -> None:
            elsewhere.extend(host.runtime().completion() for _ in range(5))
            ready.set()
            results.extend([await one.wait(10) for one in elsewhere])

        asyncio.run(work())

    thread = threading.Thread(target=other)
    thread.start()
    await asyncio.to_thread(ready.wait, 10)
    mine: list[Completion[int]] = [host.runtime().completion() for _ in range(5)]
    held: Completion[int] = ThreadRuntime().completion()
    everybody = [*mine, *elsewhere, held]
    host.settle((one, number, None) for number, one in enumerate(everybody))
    assert [await one.wait(10) for one in mine] == [0, 1, 2, 3, 4]
    assert drive(held.wait(10)) == 10
    await asyncio.to_thread(thread.join, 10)
    assert results == [5, 6, 7, 8, 9]


def test_settling_for_a_loop_that_is_gone_is_harmless() -> None:
    host = SystemHost()

    async def leave() -> Completion[int]:
        return host.runtime().completion()

    orphan = asyncio.run(leave())
    orphan.settle(1)
    host.settle([(orphan, 1, None)])


async def test_a_timeout_cancels_what_it_waits_for() -> None:
    runtime = SystemHost().runtime()
    cancelled = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimedOut) as caught:
        await runtime.timeout(forever(), 0.001)
    assert caught.value.timeout_s == 0.001
    assert cancelled == [True]

    async def answer() -> int:
        return 3

    assert await runtime.timeout(answer(), 10) == 3


async def test_offloaded_work_runs_in_another_thread_and_its_error_arrives() -> None:
    runtime = SystemHost().runtime()
    assert not runtime.blocking
    assert await runtime.offload(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await runtime.offload(lambda: 1 // 0)


def test_one_loop_has_one_runtime_and_keeps_it_no_longer_than_itself() -> None:
    host = SystemHost()

    async def twice() -> tuple[Any, Any]:
        return weakref.ref(host.runtime()), weakref.ref(host.runtime())

    first, second = asyncio.run(twice())
    assert first is second
    gc.collect()
    assert first() is None
    assert len(host._loops) == 0


def test_who_is_neither_awaited_nor_driven_is_told() -> None:
    with pytest.raises(WrongContext, match=r"asyncio\.run"):
        SystemHost().runtime()


def test_a_runtime_is_checked_against_the_loop_that_runs() -> None:
    host = SystemHost()

    async def mine() -> LoopRuntime:
        runtime = host.runtime()
        assert isinstance(runtime, LoopRuntime)
        runtime.check()
        with pytest.raises(WrongContext):
            await asyncio.to_thread(runtime.check)
        return runtime

    runtime = asyncio.run(mine())

    async def another() -> None:
        with pytest.raises(WrongContext, match="event loop"):
            runtime.check()

    asyncio.run(another())
    with pytest.raises(WrongContext):
        runtime.check()
    gc.collect()
    # The loop is gone: nowhere is the right place any more, having no loop neither.
    with pytest.raises(WrongContext):
        runtime.check()


async def test_driving_inside_a_loop_waits_like_a_thread() -> None:
    host = SystemHost()

    async def inner() -> bool:
        return host.runtime().blocking

    assert drive(inner()) is True
    assert host.runtime().blocking is False


async def test_a_spawned_thread_is_joined_and_named() -> None:
    host = SystemHost()
    gate = threading.Event()

    def work() -> None:
        gate.wait(10)

    worker = host.spawn("holdfast test", work)
    assert worker.join(0.001) is False
    assert "holdfast test" in {thread.name for thread in threading.enumerate()}
    gate.set()
    assert worker.join(10) is True
