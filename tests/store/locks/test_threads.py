"""Locks of the sync handle: threads take turns with each other, and with tasks of a loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import DeadlockDetected, TimedOut

WORKERS = 4
ROUNDS = 50


@pytest.fixture(params=["memory", "sqlite", "lmdb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    engine = str(request.param)
    return f"memory://?name={tmp_path}" if engine == "memory" else f"{engine}:///{tmp_path / 'db'}"


@pytest.mark.row("K-033", "trap 7")
def test_threads_and_tasks_exclude_each_other(url: str) -> None:
    def in_thread(db: holdfast.sync.Database) -> None:
        for _ in range(ROUNDS):
            with db.lock("counters"):
                entry = db.entries.get("counters:hits")
                db.entries.set("counters:hits", 1 if entry is None else entry.value + 1)

    async def on_loop() -> None:
        async with holdfast.open(url) as db:

            async def work() -> None:
                for _ in range(ROUNDS):
                    async with db.lock("counters"):
                        entry = await db.entries.get("counters:hits")
                        await asyncio.sleep(0)
                        value = 1 if entry is None else entry.value + 1
                        await db.entries.set("counters:hits", value)

            await asyncio.gather(*(work() for _ in range(WORKERS)))

    with holdfast.sync.open(url) as db, ThreadPoolExecutor(WORKERS + 1) as pool:
        results = [pool.submit(in_thread, db) for _ in range(WORKERS)]
        results.append(pool.submit(lambda: asyncio.run(on_loop())))
        for result in results:
            result.result(50)
        assert db.entries.require("counters:hits").value == 2 * WORKERS * ROUNDS


@pytest.mark.row("trap 32")
def test_threads_that_cross_have_one_victim(url: str) -> None:
    with holdfast.sync.open(url) as db, ThreadPoolExecutor(2) as pool:
        both = threading.Barrier(2)

        def cross(first: str, then: str) -> bool:
            with db.lock(first):
                both.wait(20)
                try:
                    with db.lock(then):
                        return True
                except DeadlockDetected:
                    return False

        results = [pool.submit(cross, "a", "b"), pool.submit(cross, "b", "a")]
        assert sorted(result.result(20) for result in results) == [False, True]


def test_a_thread_waits_as_long_as_it_was_told(url: str) -> None:
    with holdfast.sync.open(url) as db, ThreadPoolExecutor(1) as pool:

        def refused(timeout: float) -> bool:
            with pytest.raises(TimedOut):
                db.lock("a", timeout=timeout).acquire()
            return True

        lock = db.lock("a").acquire()
        assert lock.held
        assert lock.token > 0
        assert pool.submit(refused, 0.05).result(20)
        lock.release()
        again: Callable[[], holdfast.sync.Lock] = db.lock("a", timeout=0).acquire
        assert pool.submit(again).result(20).token > 0
