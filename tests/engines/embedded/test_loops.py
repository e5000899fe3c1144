"""Commits on an event loop: who leads, who comes along, and how long the loop is held."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put, Receipt
from holdfast.contract.engine import NOT_NOW
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.embedded.pace import FLUSH_MAX_S, HELD_MAX_S, PROBE_FIRST_S, Pace
from holdfast.engines.embedded.work import Work
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.system import SystemHost
from tests.engines.embedded.engines import ENGINES, writing


class Stepping(ManualClock):
    """A clock that goes on a little each time it is asked."""

    def monotonic(self) -> float:
        self.advance(0.0001)
        return super().monotonic()


class Groups:
    """Commits groups on a clock that tells how long each flush takes."""

    def __init__(self, flush_s: float, batch_s: float = 0.0) -> None:
        self.clock = ManualClock()
        self.pace = Pace(self.clock)
        self.flush_s = flush_s
        self.batch_s = batch_s
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        self.free = True
        self.committer = Committer(
            "test", SystemHost(), self.run, lambda _: False, lambda: self.free, self.pace
        )

    def run(self, works: list[Work]) -> None:
        self.threads.add(threading.get_ident())
        self.sizes.append(len(works))
        for work in works:
            work.receipt = Receipt(len(self.sizes))
        self.clock.advance(self.flush_s)
        if self.committer.on_loop:
            self.pace.note(len(works), len(works) * self.batch_s, self.flush_s)


def work() -> Work:
    return Work(Batch([Put(b"a", b"1")]))


async def many(groups: Groups, count: int = 20) -> None:
    await asyncio.gather(*(groups.committer.commit(work()) for _ in range(count)))


async def test_where_flushes_are_short_a_caller_leads_its_neighbours_on_the_loop() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await many(groups)
    assert groups.sizes == [20], "after one turn of the loop everybody is there"
    assert groups.threads == {threading.get_ident()}
    groups.committer.close()


async def test_where_flushes_are_long_the_thread_leads_and_the_loop_is_tried_ever_more_rarely() -> (
    None
):
    groups = Groups(FLUSH_MAX_S * 4)
    await many(groups)
    assert groups.threads == {threading.get_ident()}, "the first one tells how long they are"
    for interval in (PROBE_FIRST_S, 2 * PROBE_FIRST_S):
        groups.threads.clear()
        await many(groups)
        assert threading.get_ident() not in groups.threads
        groups.clock.advance(interval)
        await many(groups)
        assert threading.get_ident() in groups.threads
    groups.flush_s = FLUSH_MAX_S / 4
    groups.clock.advance(10.0)
    await many(groups)
    groups.threads.clear()
    await many(groups)
    assert groups.threads == {threading.get_ident()}, "the disk got faster"
    groups.committer.close()


async def test_a_loop_does_not_wait_for_another_process() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    groups.free = False
    await many(groups)
    assert threading.get_ident() not in groups.threads
    groups.committer.close()


async def test_a_group_on_a_loop_is_as_large_as_it_may_hold_it() -> None:
    groups = Groups(0.0, HELD_MAX_S / 8)
    await many(groups, 1)
    await many(groups, 64)
    assert max(groups.sizes) <= 8
    assert sum(groups.sizes) == 65
    groups.committer.close()


async def test_whoever_is_cancelled_in_between_has_handed_over() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    task = asyncio.ensure_future(groups.committer.commit(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(2000):
        if groups.sizes:
            break
        await asyncio.sleep(0.001)
    assert groups.sizes == [1]
    groups.committer.close()


@pytest.mark.parametrize("tasks", [1, 5])
async def test_commits_that_never_wait_let_the_loop_go_round(tasks: int) -> None:
    clock = Stepping()
    components = Components(host=SystemHost(), clock=clock, ids=SystemIds(clock))
    engine = MemoryEngine(MemoryConfig(), components)
    await engine.open()
    rounds: list[float] = []
    done = False

    async def tick() -> None:
        while not done:
            rounds.append(ManualClock.monotonic(clock))
            await asyncio.sleep(0)

    async def write() -> None:
        for _ in range(400):
            await engine.transact([b"a"], writing(b"a"))

    ticking = asyncio.ensure_future(tick())
    await asyncio.gather(*(write() for _ in range(tasks)))
    done = True
    await ticking
    longest = max(after - before for before, after in pairwise(rounds))
    assert longest <= 2 * HELD_MAX_S + 0.001
    await engine.close()


@pytest.mark.parametrize("name", ENGINES)
async def test_what_can_be_done_at_once_on_a_loop_neither_flushes_nor_waits(
    name: str, tmp_path: Path
) -> None:
    engine = ENGINES[name](tmp_path)
    await engine.open()
    assert engine.transact_now is not None
    if name == "lmdb":
        assert engine.transact_now([b"a"], writing(b"a")) is NOT_NOW
    else:
        await engine.transact([b"a"], writing(b"a"))
        found = [engine.transact_now([b"a"], writing(b"a")) for _ in range(5)]
        assert any(isinstance(one, Receipt) for one in found)
    await engine.close()
