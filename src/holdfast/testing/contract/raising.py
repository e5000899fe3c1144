"""What a function of `transact` raises, whatever it is, concerns its caller alone and hangs none.

An interrupt may strike inside the function, a cancelled task's error may pass through it, and
`next()` on an empty iterator raises StopIteration, which no coroutine may raise: Python hands it
on as a RuntimeError that it caused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from holdfast.contract.batch import Answer, Decide, Need
from holdfast.contract.record import Record
from holdfast.runtime.system import drive
from holdfast.testing.driving import THREADS, in_threads
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, contents, increment, put, raising, value_of


class Mistake(Exception):
    """What a function of the caller's raises."""


RAISED: list[type[BaseException]] = [
    Mistake, StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt,
    asyncio.CancelledError, MemoryError, RecursionError, AssertionError, TimeoutError,
]  # fmt: skip

TASKS = 64
#: Which tasks of eight raise.
BAD = 3


class Raising(Section):
    @promise()
    async def test_whatever_a_function_raises_reaches_its_caller_and_leaves_nothing(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        head = await put(engine, (b"n", b"0"))
        for count, kind in enumerate(RAISED, start=1):
            for decide, error in (_at_once(kind), _once_it_has_seen_more(kind)):
                assert _of(await _outcome(engine.transact([b"n"], decide)), error), kind
                assert await engine.head() == head
            head = (await engine.transact([b"n"], increment(b"n"))).revision
            assert await contents(engine) == {b"n": b"%d" % count}

    @promise(tasks=True)
    async def test_whatever_some_raise_the_others_in_the_same_group_are_committed(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()

        async def good() -> BaseException | None:
            return await _outcome(engine.transact([b"n"], increment(b"n")))

        async def bad(kind: type[BaseException]) -> bool:
            decide, error = _at_once(kind)
            return _of(await _outcome(engine.transact([b"n"], decide)), error)

        for kind in RAISED:
            outcomes = await asyncio.gather(
                *(bad(kind) if number % 8 == BAD else good() for number in range(TASKS))
            )
            for number, outcome in enumerate(outcomes):
                expected = True if number % 8 == BAD else None
                assert outcome is expected, f"{kind.__name__}: {outcome!r} of task {number}"
        counted = len(RAISED) * sum(number % 8 != BAD for number in range(TASKS))
        assert await value_of(engine, b"n") == b"%d" % counted

    @promise(tasks=True)
    async def test_what_a_function_raises_does_not_cancel_its_task(self, subject: Subject) -> None:
        engine = await subject.open()
        outcome = await _outcome(engine.transact([], raising(asyncio.CancelledError())))
        assert isinstance(outcome, asyncio.CancelledError)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await put(engine, (b"a", b"1"))
        assert await value_of(engine, b"a") == b"1"

    @promise()
    async def test_whatever_a_function_raises_other_threads_go_on(self, subject: Subject) -> None:
        engine = await subject.open()
        rounds = 3

        def work(thread: int) -> None:
            for kind in RAISED * rounds:
                if thread:
                    drive(engine.transact([b"n"], increment(b"n")))
                    continue
                decide, error = _at_once(kind)
                outcome = drive(_outcome(engine.transact([b"n"], decide)))
                assert _of(outcome, error), f"{kind.__name__}: {outcome!r}"

        in_threads(engine, work)
        counted = (THREADS - 1) * rounds * len(RAISED)
        assert await value_of(engine, b"n") == b"%d" % counted


def _at_once(kind: type[BaseException]) -> tuple[Decide, BaseException]:
    error = kind("of the caller")
    return raising(error), error


def _once_it_has_seen_more(kind: type[BaseException]) -> tuple[Decide, BaseException]:
    error = kind("of the caller")

    def decide(records: list[Record | None], revision: int) -> Answer:
        del revision
        if len(records) == 1:
            return Need([b"none"])
        raise error

    return decide, error


async def _outcome(verb: Awaitable[object]) -> BaseException | None:
    """What the verb raises, kept from tasks and loops, which would end by some of it."""
    try:
        await verb
    except BaseException as error:  # noqa: BLE001 - it is looked at
        return error
    return None


def _of(outcome: BaseException | None, error: BaseException) -> bool:
    """Whether that is the error, or what Python makes of one that a coroutine may not raise."""
    return outcome is error or (
        isinstance(outcome, RuntimeError)
        and isinstance(error, StopIteration | StopAsyncIteration)
        and outcome.__cause__ is error
    )
