"""Commits on an event loop: who leads, who comes along, and how long the loop is held."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put, Receipt
from holdfast.contract.engine import NOT_NOW
from holdfast.contract.errors import StoreClosed
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.embedded.pace import (
    FLUSH_MAX_S,
    FLUSH_STALL_S,
    HELD_MAX_S,
    RETRY_FIRST_S,
    Pace,
)
from holdfast.engines.embedded.work import Work, _deciding
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
        self.led: list[int] = []
        self.threads: set[int] = set()
        self.free = True
        self.given_up = 0
        self.committer = Committer(
            "test", SystemHost(), self.run, lambda _: False, self.prompt, self.give_up, self.pace
        )

    def prompt(self) -> bool:
        return self.free

    def give_up(self) -> None:
        self.given_up += 1

    def run(self, works: list[Work]) -> None:
        self.threads.add(threading.get_ident())
        self.sizes.append(len(works))
        for work in works:
            work.receipt = Receipt(len(self.sizes))
        self.clock.advance(self.flush_s)
        if self.committer.on_loop:
            self.led.append(len(works))
            self.pace.note(len(works), len(works) * self.batch_s, self.flush_s)
        else:
            self.pace.note_elsewhere(self.flush_s)

    async def warm_up(self) -> None:
        """One group on the writer thread, which tells how long flushes take."""
        await self.committer.commit(work())
        with self.committer._leading:
            pass  # It has let go of the lead: whoever comes next may have it.
        assert threading.get_ident() not in self.threads
        self.sizes.clear()
        self.threads.clear()


def work() -> Work:
    return Work(Batch([Put(b"a", b"1")]))


async def many(groups: Groups, count: int = 20) -> None:
    await asyncio.gather(*(groups.committer.commit(work()) for _ in range(count)))


async def test_where_flushes_are_short_a_caller_leads_its_neighbours_on_the_loop() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await groups.warm_up()
    await many(groups)
    assert groups.sizes == [20], "after one turn of the loop everybody is there"
    assert groups.threads == {threading.get_ident()}
    groups.committer.close()


async def test_where_flushes_are_long_the_loop_never_leads() -> None:
    groups = Groups(FLUSH_MAX_S * 2)
    for _ in range(20):
        await many(groups)
        groups.clock.advance(100.0)
    assert threading.get_ident() not in groups.threads
    groups.flush_s = FLUSH_MAX_S / 4
    await groups.warm_up()
    await many(groups)
    assert groups.threads == {threading.get_ident()}, "the disk got faster"
    groups.committer.close()


async def test_flushes_that_get_long_are_left_to_the_thread_for_ever_longer() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await groups.warm_up()
    for kept_s in (RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S):
        groups.flush_s = FLUSH_STALL_S * 2
        await many(groups)
        assert groups.threads == {threading.get_ident()}
        groups.flush_s = FLUSH_MAX_S / 4
        groups.threads.clear()
        groups.clock.advance(kept_s * 0.9)
        await many(groups)
        await groups.warm_up()
        groups.clock.advance(kept_s * 0.2)
        await groups.warm_up()
        await many(groups)
        assert groups.threads == {threading.get_ident()}
    groups.committer.close()


async def test_many_flushes_that_are_a_little_too_long_are_left_to_the_thread() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await groups.warm_up()
    groups.flush_s = FLUSH_MAX_S * 2
    for _ in range(20):
        await many(groups)
    groups.threads.clear()
    await many(groups)
    assert threading.get_ident() not in groups.threads
    groups.committer.close()


async def test_an_interrupt_before_the_group_gives_up_what_was_begun() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await groups.warm_up()

    def interrupted() -> bool:
        raise KeyboardInterrupt

    groups.committer._prompt = interrupted
    with pytest.raises(KeyboardInterrupt):
        await groups.committer.commit(work())
    assert groups.given_up == 1
    groups.committer._prompt = groups.prompt
    await many(groups)
    assert sum(groups.sizes) == 20
    groups.committer.close()


async def test_a_loop_does_not_wait_for_another_process() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await groups.warm_up()
    groups.free = False
    await many(groups)
    assert threading.get_ident() not in groups.threads
    groups.committer.close()


async def test_a_group_on_a_loop_is_as_large_as_it_may_hold_it() -> None:
    groups = Groups(0.0, HELD_MAX_S / 8)
    await groups.warm_up()
    for _ in range(20):
        await many(groups, 1)  # Until the average knows how long a batch takes.
    groups.sizes.clear()
    groups.led.clear()
    while not groups.led:  # On a busy machine the thread may still be about, and take them.
        await many(groups, 64)
    assert max(groups.led) <= 8
    assert sum(groups.sizes) % 64 == 0
    groups.committer.close()


async def test_whoever_is_cancelled_in_between_has_handed_over() -> None:
    groups = Groups(FLUSH_MAX_S / 4)
    await groups.warm_up()
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


async def test_an_interrupted_leader_is_not_taken_for_one_that_still_decides() -> None:
    """It decided another caller's batch, which that one decides again meanwhile."""
    groups = Groups(0.0)
    another = work()

    def interrupted(works: list[Work]) -> None:
        another.committer, another.deciding = groups.committer, True
        _deciding.set(another)
        raise KeyboardInterrupt

    groups.committer._run = interrupted
    with pytest.raises(KeyboardInterrupt):
        groups.committer.commit_here(work())
    groups.committer._run = groups.run
    assert groups.committer.commit_here(work()) == Receipt(1)
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


def test_commits_between_which_others_had_the_processor_come_to_a_pause_too() -> None:
    """A gap does not say that the loop went round: the machine may have been busy elsewhere."""
    clock = ManualClock()
    pace = Pace(clock)
    commits = 1
    while not pace.pause_due():
        clock.advance(0.004)
        commits += 1
        assert commits < 20, "a busy machine keeps the loop from going round for ever"
    pace.woke(pace.tick)
    assert not pace.pause_due()


@pytest.mark.parametrize("name", ENGINES)
async def test_what_can_be_done_at_once_on_a_loop_neither_flushes_nor_waits(
    name: str, tmp_path: Path
) -> None:
    engine = ENGINES[name](tmp_path)
    await engine.open()
    assert engine.transact_now is not None
    if name in ("lmdb", "file", "sqlite", "rocksdb", "leveldb"):
        assert engine.transact_now([b"a"], writing(b"a")) is NOT_NOW
    else:
        await engine.transact([b"a"], writing(b"a"))
        found = [engine.transact_now([b"a"], writing(b"a")) for _ in range(5)]
        assert any(isinstance(one, Receipt) for one in found)
    await engine.close()


@pytest.mark.parametrize("flushes", [True, False])
async def test_who_waits_for_a_flush_in_any_case_is_handed_over_without_a_turn(
    flushes: bool,
) -> None:
    groups = Groups(FLUSH_MAX_S * 2)
    groups.committer.flushes = flushes
    while not groups.pace.pause_due():
        groups.clock.advance(0.0005)
    assert groups.committer.pause(0), "nobody leads meanwhile"
    waiting = asyncio.gather(*(groups.committer.commit(work()) for _ in range(20)))
    await asyncio.sleep(0)
    handed_over = len(groups.committer._queue)
    groups.committer.resume()
    await waiting
    assert handed_over == (20 if flushes else 0)
    groups.committer.close()


async def test_a_closed_committer_refuses_who_would_be_handed_over() -> None:
    groups = Groups(FLUSH_MAX_S * 2)
    groups.committer.flushes = True
    groups.committer.close()
    with pytest.raises(StoreClosed):
        await groups.committer.commit(work())
