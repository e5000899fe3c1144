"""A limit of time around a caller's code: what that code raises is its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.contract.errors import TimedOut
from holdfast.contract.runtime import Runtime
from holdfast.runtime.system import ThreadRuntime, drive, system_components


def limited(runtime: Runtime, work: Any, seconds: float) -> Any:
    async def main() -> Any:
        here = system_components().host.runtime()
        return await here.timeout(work(here), seconds)

    return drive(main()) if runtime.blocking else asyncio.run(main())


def loop_runtime() -> Runtime:
    async def main() -> Runtime:
        return system_components().host.runtime()

    return asyncio.run(main())


RUNTIMES = pytest.mark.parametrize(
    "runtime", [ThreadRuntime(), loop_runtime()], ids=lambda r: type(r).__name__
)


@RUNTIMES
@pytest.mark.parametrize("error", [TimeoutError("mine"), TimedOut("mine"), StopIteration()])
def test_an_error_of_the_code_comes_out_as_it_is(runtime: Runtime, error: BaseException) -> None:
    async def work(here: Runtime) -> None:
        raise error

    wanted = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(wanted) as caught:
        limited(runtime, work, 30)
    found = caught.value.__cause__ if isinstance(error, StopIteration) else caught.value
    assert found is error


@RUNTIMES
def test_what_takes_too_long_is_told(runtime: Runtime) -> None:
    async def work(here: Runtime) -> None:
        await here.completion().wait()

    with pytest.raises(TimedOut, match=r"not done within 0\.01 s"):
        limited(runtime, work, 0.01)


def test_an_error_that_answers_the_end_of_time_comes_out_as_it_is() -> None:
    async def main() -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise TimeoutError("mine") from None

        here = system_components().host.runtime()
        with pytest.raises(TimeoutError, match="mine") as caught:
            await here.timeout(work(), 0.01)
        assert type(caught.value) is TimeoutError
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(main())
