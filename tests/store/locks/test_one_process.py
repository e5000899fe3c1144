"""Locks among the tasks of one process."""

import asyncio
from datetime import timedelta

import pytest

import holdfast
from holdfast.contract.errors import (
    DeadlockDetected,
    InvalidInput,
    InvalidKey,
    ReadOnly,
    StoreClosed,
    TimedOut,
    WrongContext,
)
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from holdfast.store import layout
from holdfast.store.locks.lock import Locks
from tests.store.scene import Scene, rows_of, until


def locks_of(db: Database) -> Locks:
    return db._require_shared().locks


async def lease_rows(db: Database) -> int:
    """How many rows of locks and of waits there are."""
    leases = await rows_of(db, Range.prefix(layout.SYSTEM_LEASES))
    return len(leases) + len(await rows_of(db, Range.prefix(layout.SYSTEM_WAITS)))


async def nothing_left(db: Database) -> bool:
    table = locks_of(db).table
    return len(table) == table.callers == await lease_rows(db) == 0


@pytest.mark.row("K-033", "trap 7")
async def test_tasks_take_turns_in_the_order_they_came(scene: Scene) -> None:
    async with scene.open() as db:
        log: list[tuple[int, str]] = []
        tokens: list[int] = []

        async def work(number: int) -> None:
            async with db.lock("users") as lock:
                log.append((number, "in"))
                tokens.append(lock.token)
                await asyncio.sleep(0)
                await db.entries.set("users:last", number)
                log.append((number, "out"))

        await asyncio.gather(*(work(number) for number in range(20)))
        assert log == [(number, side) for number in range(20) for side in ("in", "out")]
        assert tokens == sorted(set(tokens))
        assert await nothing_left(db)


@pytest.mark.row("K-034", "trap 7")
async def test_other_namespaces_go_on_meanwhile(scene: Scene) -> None:
    """Each of two holders waits inside for the other to be inside too."""
    async with scene.open() as db:
        both = asyncio.Barrier(2)

        async def work(namespace: str) -> None:
            async with db.lock(namespace):
                await both.wait()

        async with asyncio.timeout(20):
            await asyncio.gather(work("a"), work("b"))


@pytest.mark.row("K-037")
async def test_parent_and_child_do_not_block_each_other(scene: Scene) -> None:
    async with scene.open() as db, db.lock("users"):
        async with db.lock("users/active", timeout=0) as child:
            assert child.held
        async with db.lock("", timeout=0) as root:
            assert root.held
        # A spelling is not another lock.
        async with db.lock("caf\u00e9/xAy"):
            with pytest.raises(DeadlockDetected):
                await db.lock("caf\u00e9/x%41y").acquire()


@pytest.mark.row("K-035")
async def test_raising_and_being_cancelled_let_go(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(ZeroDivisionError):
            async with db.lock("a"):
                raise ZeroDivisionError
        async with db.lock("a", timeout=1):
            pass

        inside = asyncio.Event()

        async def hold() -> None:
            async with db.lock("a"):
                inside.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await inside.wait()
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        async with db.lock("a", timeout=1):
            pass
        assert await nothing_left(db)


@pytest.mark.row("K-035")
async def test_a_cancelled_waiter_leaves_the_line_to_the_others(scene: Scene) -> None:
    async with scene.open() as db:
        order: list[str] = []

        async def work(name: str) -> None:
            async with db.lock("a"):
                order.append(name)

        async with db.lock("a"):
            tasks = [asyncio.create_task(work(name)) for name in "xyz"]
            await asyncio.sleep(0)
            tasks[0].cancel()
            tasks[1].cancel()
            await asyncio.sleep(0)
            # One more comes while the cancelled ones leave.
            tasks.append(asyncio.create_task(work("w")))
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["z", "w"]
        assert await nothing_left(db)


@pytest.mark.row("K-035")
async def test_cancelling_at_every_step_of_acquiring_leaves_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        for steps in range(12):
            task = asyncio.create_task(db.lock("a").acquire())
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await (await task).release()
            await until(lambda: nothing_left(db))


@pytest.mark.row("K-036", "trap 8")
@pytest.mark.timeout(240)  # Seconds alone; a minute in a process full of other tests' objects.
async def test_a_hundred_thousand_locks_leave_the_table_empty() -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        table = locks_of(db).table
        together = asyncio.Barrier(1_000)

        async def use(number: int) -> None:
            async with db.lock(f"tenant/{number}"):
                await together.wait()
                assert len(table) > 0

        for start in range(0, 100_000, 1_000):
            await asyncio.gather(*(use(start + number) for number in range(1_000)))
        assert await nothing_left(db)


async def test_a_wait_ends_with_its_time(scene: Scene) -> None:
    async with scene.open() as db, db.lock("a"):

        async def late(timeout: float | timedelta) -> None:
            with pytest.raises(TimedOut) as failure:
                await db.lock("a", timeout=timeout).acquire()
            assert failure.value.lock == "a"

        await asyncio.create_task(late(0))
        scene.clock.advance(1)
        waiting = asyncio.create_task(late(timedelta(milliseconds=20)))
        await asyncio.sleep(0)
        scene.clock.advance(1)
        await waiting
        assert len(locks_of(db).table) == 1


@pytest.mark.row("trap 32")
async def test_taking_it_twice_is_refused(scene: Scene) -> None:
    async with scene.open() as db, db.lock("a") as lock:
        with pytest.raises(DeadlockDetected, match="not re-entrant") as failure:
            await db.lock("a").acquire()
        assert failure.value.locks == ["a"]
        with pytest.raises(DeadlockDetected):
            await lock.acquire()
        assert lock.held


@pytest.mark.row("trap 32")
async def test_a_cycle_has_one_victim_at_once(scene: Scene) -> None:
    async with scene.open() as db:
        size = 4
        all_hold_one = asyncio.Barrier(size)
        done: list[int] = []
        victims: list[int] = []
        told: list[str] = []

        async def cross(number: int) -> None:
            async with db.lock(f"n{number}"):
                await all_hold_one.wait()
                try:
                    async with db.lock(f"n{(number + 1) % size}"):
                        done.append(number)
                except DeadlockDetected as error:
                    victims.append(number)
                    told.extend(error.details["locks"])

        async with asyncio.timeout(20):
            await asyncio.gather(*(cross(number) for number in range(size)))
        assert len(victims) == 1
        assert sorted(told) == [f"n{number}" for number in range(size)]
        assert sorted(done + victims) == list(range(size))
        assert await nothing_left(db)


async def test_waiting_for_a_waiter_is_no_cycle(scene: Scene) -> None:
    async with scene.open() as db:
        order: list[str] = []

        async def both(name: str) -> None:
            async with db.lock("a"), db.lock("b"):
                order.append(name)

        async with asyncio.timeout(20):
            await asyncio.gather(*(both(name) for name in "xyz"))
        assert order == ["x", "y", "z"]


async def test_a_lock_can_be_used_again_and_by_hand(scene: Scene) -> None:
    async with scene.open() as db:
        lock = db.lock("a")
        assert (lock.held, lock.token, lock.namespace) == (False, 0, "a")
        assert await lock.acquire() is lock
        first = lock.token
        await lock.check()
        await lock.renew()
        await lock.release()
        with pytest.raises(WrongContext):
            await lock.release()
        with pytest.raises(WrongContext):
            await lock.check()
        async with lock:
            assert lock.token > first > 0
            await lock.release()
        assert "not held" in repr(lock)
        assert await nothing_left(db)


async def test_tasks_may_share_the_object(scene: Scene) -> None:
    async with scene.open() as db:
        lock = db.lock("a")
        inside = most = 0

        async def work() -> None:
            nonlocal inside, most
            async with lock:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                await lock.check()
                inside -= 1

        await asyncio.gather(*(work() for _ in range(10)))
        assert most == 1
        assert await nothing_left(db)


async def test_closing_a_handle_lets_go_and_ends_its_waits(scene: Scene) -> None:
    async with scene.open() as db:
        other = await scene.handle()
        lock = await other.lock("a").acquire()
        async with db.lock("b"):
            waiting = asyncio.create_task(other.lock("b").acquire())
            await until(lambda: len(locks_of(db)._waiting) == 1)
            await other.close()
            with pytest.raises(StoreClosed):
                await waiting
        async with db.lock("a", timeout=1):
            pass
        with pytest.raises(StoreClosed):
            await lock.release()
        with pytest.raises(StoreClosed):
            other.lock("a")
        assert await nothing_left(db)


@pytest.mark.parametrize(
    ("namespace", "settings", "error"),
    [
        ("users:1", {}, InvalidKey),
        ("users/", {}, InvalidKey),
        ("a//b", {}, InvalidKey),
        (7, {}, InvalidKey),
        ("a", {"ttl": 0}, InvalidInput),
        ("a", {"ttl": 10**9}, InvalidInput),
        ("a", {"ttl": True}, InvalidInput),
        ("a", {"ttl": float("nan")}, InvalidInput),
        ("a", {"timeout": -1}, InvalidInput),
        ("a", {"timeout": "soon"}, InvalidInput),
    ],
)
async def test_what_cannot_be_is_refused(
    namespace: str, settings: dict[str, float], error: type[Exception]
) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        with pytest.raises(error):
            db.lock(namespace, **settings)


async def test_a_reading_handle_has_no_locks(kept_scene: Scene) -> None:
    url = kept_scene.url + "?read_only=true"
    async with kept_scene.open(), kept_scene.handle(url) as reader:
        with pytest.raises(ReadOnly):
            reader.lock("a")
