"""Background work: it ends when it is told, from whichever thread, and says whether it has."""

import asyncio
import threading

import pytest

from holdfast.contract.runtime import Background
from holdfast.runtime.system import SystemHost, ThreadRuntime, drive
from tests.store.scene import until


async def test_a_task_is_stopped_from_the_loop_and_from_a_thread() -> None:
    runtime = SystemHost().runtime()
    ended: list[str] = []

    async def work() -> None:
        try:
            await runtime.completion().wait()
        finally:
            ended.append("ended")

    one, two = runtime.start("one", work), runtime.start("two", work)
    assert await one.wait(0.001) is False
    one.stop()
    one.stop()
    assert await one.wait(10) is True
    thread = threading.Thread(target=two.stop)
    thread.start()
    assert await two.wait(10) is True
    thread.join()
    assert ended == ["ended", "ended"]


async def test_a_task_does_not_wait_for_itself() -> None:
    runtime = SystemHost().runtime()
    answers: list[bool] = []
    started: list[Background] = []

    async def work() -> None:
        answers.append(await started[0].wait(10))

    started.append(runtime.start("itself", work))
    await until(lambda: answers == [False])


def test_stopping_what_a_closed_loop_ran_does_nothing() -> None:
    async def begin() -> Background:
        return SystemHost().runtime().start("work", asyncio.Event().wait)  # type: ignore[arg-type]

    background = asyncio.run(begin())
    background.stop()


@pytest.mark.parametrize("runs", [1, 50])
def test_a_thread_may_be_stopped_at_any_moment(runs: int) -> None:
    runtime = ThreadRuntime()

    async def work() -> None:
        await runtime.completion().wait()

    async def check() -> None:
        for _ in range(runs):
            background = runtime.start("work", work)
            background.stop()
            assert await background.wait(10) is True

    drive(check())
