"""Group commit: leaders and followers, cancellation, closing, and whose failure is whose."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put, Receipt
from holdfast.contract.errors import StoreClosed
from holdfast.contract.runtime import ManualClock
from holdfast.engines.embedded.committer import GROUP_BATCHES_MAX, Committer
from holdfast.engines.embedded.pace import Pace
from holdfast.engines.embedded.work import Work
from holdfast.runtime.system import SystemHost, drive
from tests.store.scene import Scene, engine_of, until


class Groups:
    """Commits groups by numbering them; can be held up, and notes what it was given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.revision = 0

    def run(self, works: list[Work]) -> None:
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.gate.wait(20)
        self.sizes.append(len(works))
        for work in works:
            self.revision += 1
            work.receipt = Receipt(self.revision)


def make(groups: Groups, inline: Callable[[Work], bool] = lambda _: False) -> Committer:
    pace = Pace(ManualClock())
    pace.note(1, 0.0, 1.0)  # Flushes are long here, so that no loop waits for one.
    return Committer("test", SystemHost(), groups.run, inline, lambda: False, lambda: None, pace)


def work() -> Work:
    return Work(Batch([Put(b"a", b"1")]))


async def test_what_arrives_while_a_group_runs_is_the_next_group() -> None:
    groups = Groups()
    committer = make(groups)
    groups.gate.clear()
    leader = asyncio.ensure_future(committer.commit(work()))
    await until(groups.entered.is_set)
    followers = [asyncio.ensure_future(committer.commit(work())) for _ in range(50)]
    await asyncio.sleep(0)
    groups.gate.set()
    receipts = await asyncio.gather(leader, *followers)
    assert groups.sizes == [1, 50]
    assert [one.revision for one in receipts] == list(range(1, 52))
    # A loop's thread commits nothing itself unless it was allowed to.
    assert threading.get_ident() not in groups.threads
    committer.close()


async def test_a_group_has_a_largest_size() -> None:
    groups = Groups()
    committer = make(groups)
    groups.gate.clear()
    first = asyncio.ensure_future(committer.commit(work()))
    await until(groups.entered.is_set)
    others = [asyncio.ensure_future(committer.commit(work())) for _ in range(GROUP_BATCHES_MAX + 5)]
    await asyncio.sleep(0)
    groups.gate.set()
    await asyncio.gather(first, *others)
    assert groups.sizes == [1, GROUP_BATCHES_MAX, 5]
    committer.close()


async def test_inline_commits_run_on_the_callers_thread() -> None:
    groups = Groups()
    committer = make(groups, lambda _: True)
    assert (await committer.commit(work())).revision == 1
    assert groups.threads == {threading.get_ident()}
    committer.close()


def test_threads_lead_and_follow_each_other() -> None:
    groups = Groups()
    committer = make(groups)
    groups.gate.clear()
    revisions: list[int] = []
    threads = [
        threading.Thread(target=lambda: revisions.append(drive(committer.commit(work())).revision))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    assert groups.entered.wait(10)
    groups.gate.set()
    for thread in threads:
        thread.join(10)
    assert sorted(revisions) == list(range(1, 13))
    assert sum(groups.sizes) == 12
    committer.close()


async def test_cancelling_after_the_hand_over_does_not_withdraw_the_write() -> None:
    groups = Groups()
    committer = make(groups)
    groups.gate.clear()
    first = asyncio.ensure_future(committer.commit(work()))
    await until(groups.entered.is_set)
    others = [asyncio.ensure_future(committer.commit(work())) for _ in range(4)]
    await asyncio.sleep(0)
    for task in (first, others[1], others[2]):
        task.cancel()
    groups.gate.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(one) for one in results] == [
        asyncio.CancelledError, Receipt, asyncio.CancelledError, asyncio.CancelledError, Receipt,
    ]  # fmt: skip
    assert groups.revision == 5
    committer.close()


async def test_closing_commits_what_was_handed_over_and_refuses_what_comes_later() -> None:
    groups = Groups()
    committer = make(groups)
    groups.gate.clear()
    tasks = [asyncio.ensure_future(committer.commit(work()))]
    await until(groups.entered.is_set)
    tasks += [asyncio.ensure_future(committer.commit(work())) for _ in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(asyncio.to_thread(committer.close))
    await until(lambda: committer._closed)
    with pytest.raises(StoreClosed):
        await committer.commit(work())
    groups.gate.set()
    await closing
    receipts = await asyncio.gather(*tasks)
    assert sorted(one.revision for one in receipts) == list(range(1, 7))
    committer.close()
    assert not [one for one in threading.enumerate() if one.name == "test writer"]


async def test_a_fault_of_the_engine_reaches_every_caller_of_the_group() -> None:
    def broken(works: list[Work]) -> None:
        raise RuntimeError("a bug")

    host, pace = SystemHost(), Pace(ManualClock())
    committer = Committer("test", host, broken, lambda _: False, lambda: False, lambda: None, pace)
    results = await asyncio.gather(
        *(committer.commit(work()) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in results] == [RuntimeError] * 3
    committer.close()


async def test_an_error_in_one_decision_concerns_its_caller_only(scene: Scene) -> None:
    async with scene.open() as db:
        engine = engine_of(db)

        def decide(number: int) -> Any:
            def made(records: list[Any], revision: int) -> Batch:
                if number % 3 == 1:
                    raise KeyError(number)
                if number % 3 == 2:
                    return Batch([Put(b"", b"an empty key is refused")])
                return Batch([Put(b"n%d" % number, b"1")])

            return made

        results = await asyncio.gather(
            *(engine.transact([b"n"], decide(number)) for number in range(30)),
            return_exceptions=True,
        )
        for number, result in enumerate(results):
            if number % 3 == 0:
                assert isinstance(result, Receipt)
            elif number % 3 == 1:
                assert isinstance(result, KeyError)
            else:
                assert type(result).__name__ == "InvalidKey"
        found = await engine.read([b"n%d" % number for number in range(30)])
        assert [record is not None for record in found] == [number % 3 == 0 for number in range(30)]


async def test_a_cancelled_set_is_written_wholly_or_not_at_all(scene: Scene) -> None:
    async with scene.open() as db:
        for n in range(30):
            task = asyncio.ensure_future(db.entries.set_many({f"a:{n}": n, f"b:{n}": n}))
            for _ in range(n % 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await db.entries.set("last", 1)
        both = {str(key).partition(":")[2] for key in [one async for one in db.entries.keys("a/#")]}
        others = {
            str(key).partition(":")[2] for key in [one async for one in db.entries.keys("b/#")]
        }
        assert both == others
