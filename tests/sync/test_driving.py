"""Driving a coroutine: what it may wait for, and how it ends."""

import asyncio

import pytest

import holdfast
from holdfast.contract.errors import TimedOut, WrongContext
from holdfast.runtime.drive import ThreadCompletion
from holdfast.runtime.system import drive
from tests.sync.interrupts import interrupted


def test_what_needs_a_loop_is_refused() -> None:
    async def far() -> None:
        await asyncio.sleep(0)

    with pytest.raises(WrongContext, match="event loop"):
        drive(far())


def test_driving_ends_with_the_call_even_when_it_fails() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            drive(fail())
        # Still a caller on a loop: an async handle opened now belongs to it.
        async with holdfast.open("memory://") as db:
            await db.entries.set("a:1", 1)

    asyncio.run(main())


def test_a_wait_has_its_own_time_limit_and_may_be_tried_again() -> None:
    completion: ThreadCompletion[int] = ThreadCompletion()

    async def wait() -> int:
        with pytest.raises(TimedOut):
            await completion.wait(0.001)
        completion.settle(1)
        completion.settle(2)
        return await completion.wait(20)

    assert drive(wait()) == 1


def test_an_interrupt_reaches_the_coroutine_where_it_waits() -> None:
    completion: ThreadCompletion[None] = ThreadCompletion()
    waits: list[bool] = []
    seen: list[type[BaseException]] = []

    async def wait() -> None:
        waits.append(True)
        try:
            await completion.wait()
        except BaseException as error:
            seen.append(type(error))
            raise

    with interrupted(lambda: bool(waits)), pytest.raises(KeyboardInterrupt) as failure:
        drive(wait())
    # Its frames still live in `failure`, so nothing but the driver has ended it.
    assert seen == [KeyboardInterrupt]
    assert failure.type is KeyboardInterrupt


def test_a_coroutine_may_go_on_after_an_interrupt() -> None:
    completion: ThreadCompletion[int] = ThreadCompletion()
    waits: list[bool] = []

    async def wait() -> int:
        waits.append(True)
        with pytest.raises(KeyboardInterrupt):
            await completion.wait()
        completion.settle(1)
        return await completion.wait()

    with interrupted(lambda: bool(waits)):
        assert drive(wait()) == 1
