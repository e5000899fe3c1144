"""`wait`: told of commits without asking again and again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from holdfast.contract.batch import CheckKey, Put
from holdfast.contract.errors import Conflict, StoreClosed
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, always, commit, put

#: Far above any wake-up that works.
WAKE_TIMEOUT_S = 20.0
#: How many callers wait at once.
WAITERS = 50


class Waiting(Section):
    @promise("trap 50", needs="waits")
    async def test_a_caller_who_is_behind_does_not_wait(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"k", b"1"))
        assert await engine.wait(0) == first
        second = await put(engine, (b"k", b"2"))
        assert await engine.wait(first) == second
        assert await engine.wait(0) == second

    @promise(needs="waits", tasks=True)
    async def test_a_commit_wakes_everybody_who_waits(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"k", b"0"))
        for round_ in range(3):
            waiting = [asyncio.create_task(engine.wait(head)) for _ in range(WAITERS)]
            await _until_parked(waiting)
            head = await put(engine, (b"k", b"%d" % round_))
            async with asyncio.timeout(WAKE_TIMEOUT_S):
                assert await asyncio.gather(*waiting) == [head] * WAITERS

    @promise(needs="waits", tasks=True)
    async def test_a_transaction_wakes_who_waits(self, subject: Subject) -> None:
        engine = await subject.open()
        waiting = asyncio.create_task(engine.wait(0))
        await _until_parked([waiting])
        receipt = await engine.transact([], always(Put(b"k", b"")))
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            assert await waiting == receipt.revision

    @promise("trap 24", needs="waits", tasks=True)
    async def test_only_what_is_waited_for_wakes(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"k", b"0"))
        near = asyncio.create_task(engine.wait(head))
        far = asyncio.create_task(engine.wait(head + 10))
        await _until_parked([near, far])
        with pytest.raises(Conflict):
            await commit(engine, CheckKey(b"k", None), Put(b"k", b""))
        await commit(engine)
        await _until_parked([near, far])
        assert not near.done(), "a commit that wrote nothing wakes nobody"
        await put(engine, (b"k", b"1"))
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            await near
        await _until_parked([far])
        assert not far.done()
        while await engine.head() <= head + 10:
            await put(engine, (b"k", b"2"))
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            assert await far > head + 10

    @promise(needs="waits", tasks=True)
    async def test_no_wake_up_is_lost_between_looking_and_waiting(self, subject: Subject) -> None:
        engine = await subject.open()
        last = 60

        async def follow() -> int:
            head = 0
            while head < last:
                head = await engine.wait(head)
            return head

        followers = [asyncio.create_task(follow()) for _ in range(4)]
        for number in range(last):
            await put(engine, (b"k", b"%d" % number))
            if number % 5 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            assert min(await asyncio.gather(*followers)) >= last

    @promise(needs="waits", tasks=True)
    async def test_a_cancelled_wait_leaves_nothing_behind(self, subject: Subject) -> None:
        engine = await subject.open()
        threads, tasks = threading.active_count(), asyncio.all_tasks()
        for _ in range(4):
            waiting = [asyncio.create_task(engine.wait(0)) for _ in range(WAITERS)]
            await _until_parked(waiting)
            for task in waiting:
                task.cancel()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert asyncio.all_tasks() == tasks, "tasks went on after their wait was cancelled"
        # One poller or writer may stay for the database; one for each wait may not.
        assert threading.active_count() <= threads + 2
        revision = await put(engine, (b"k", b""))
        assert await engine.wait(0) == revision

    @promise("E-017", needs="waits", tasks=True)
    async def test_closing_ends_every_wait(self, subject: Subject) -> None:
        engine = await subject.open()
        waiting = [asyncio.create_task(engine.wait(0)) for _ in range(WAITERS)]
        await _until_parked(waiting)
        await subject.close(engine)
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, StoreClosed) for outcome in outcomes), outcomes[0]


async def _until_parked(tasks: list[asyncio.Task[int]]) -> None:
    """Let the loop turn until the tasks have begun to wait."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() and task.exception() for task in tasks)
