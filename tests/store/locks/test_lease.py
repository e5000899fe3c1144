"""Leases, as processes that share an engine see each other: here each is a `Locks` of its own."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import DeadlockDetected, Fenced, IntegrityFailed, LeaseLost, TimedOut
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from holdfast.store import layout
from holdfast.store.locks import waiting
from holdfast.store.locks.lease import SWEEP_BATCH_MAX, Want, lease_key
from holdfast.store.locks.lock import Lock, Locks
from tests.store.scene import Scene, engine_of, rows_of, until

TTL_S = 30.0


class Process:
    """What another process would have in its memory."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.locks = Locks(engine_of(db))

    def lock(self, namespace: str, *, timeout: float | None = None, ttl: float = TTL_S) -> Lock:
        return self.locks.lock(namespace, ttl, timeout, self.db._require_gate(), renews=False)


async def rows_of_locks(db: Database) -> int:
    leases = await rows_of(db, Range.prefix(layout.SYSTEM_LEASES))
    return len(leases) + len(await rows_of(db, Range.prefix(layout.SYSTEM_WAITS)))


async def pass_time(scene: Scene, done: Callable[[], bool]) -> None:
    """Let the clock run, a little for each turn of the loop, until it is done."""
    async with asyncio.timeout(20):
        while not done():
            scene.clock.advance(0.01)
            await asyncio.sleep(0.0005)


@pytest.mark.row("K-038", "trap 7")
async def test_two_processes_exclude_each_other(scene: Scene) -> None:
    async with scene.open() as db:
        one, two = Process(db), Process(db)
        async with one.lock("a") as lock:
            with pytest.raises(TimedOut):
                await two.lock("a", timeout=0).acquire()
            async with two.lock("b", timeout=0):
                pass
            waiting_there = asyncio.create_task(two.lock("a").acquire())
            await asyncio.sleep(0.01)
            assert not waiting_there.done()
        async with asyncio.timeout(20):
            other = await waiting_there
        assert other.token > lock.token == 0
        await other.release()
        assert await rows_of_locks(db) == 0


@pytest.mark.row("K-038", "trap 10")
async def test_a_dead_holder_is_succeeded_within_its_ttl_and_fenced(scene: Scene) -> None:
    async with scene.open() as db:
        dead, heir = Process(db), Process(db)
        old = await dead.lock("a").acquire()
        scene.clock.advance(TTL_S - 0.001)
        await old.check()
        with pytest.raises(TimedOut):
            await heir.lock("a", timeout=0).acquire()
        scene.clock.advance(0.001)
        with pytest.raises(LeaseLost):
            await old.check()
        new = await heir.lock("a", timeout=0).acquire()
        assert new.token > old.token
        with pytest.raises(Fenced):
            await old.check()
        with pytest.raises(Fenced):
            await old.renew()
        assert not old.held
        with pytest.raises(Fenced):
            await old.release()
        # It took nothing away from its heir.
        await new.check()
        await new.release()
        assert await rows_of_locks(db) == 0


async def test_a_block_that_lost_its_lock_says_so(scene: Scene) -> None:
    async with scene.open() as db:

        async def lose(error: Exception | None) -> None:
            async with Process(db).lock("a"):
                scene.clock.advance(TTL_S)
                await Process(db).lock("a", timeout=0).acquire()
                if error is not None:
                    raise error

        with pytest.raises(Fenced):
            await lose(None)
        scene.clock.advance(TTL_S)
        raised = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError) as failure:
            await lose(raised)
        assert failure.value is raised
        assert "could not be let go" in raised.__notes__[0]


async def test_running_out_unnoticed_by_anybody_does_no_harm(scene: Scene) -> None:
    async with scene.open() as db:
        async with Process(db).lock("a"):
            scene.clock.advance(2 * TTL_S)
        assert await rows_of_locks(db) == 0


async def test_renewing_keeps_it(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with scene.open() as db:
        living, other = Process(db), Process(db)
        held = await living.lock("a").acquire()
        for _ in range(10):
            scene.clock.advance(TTL_S / 2)
            await living.locks.keep()
            with pytest.raises(TimedOut):
                await other.lock("a", timeout=0).acquire()
        await held.check()
        before = await db.head()
        await living.locks.keep()
        assert await db.head() == before  # Nothing is due: nothing is written.
        scene.clock.advance(TTL_S)
        await other.lock("a", timeout=0).acquire()
        with caplog.at_level(logging.WARNING, "holdfast"):
            await living.locks.keep()
        assert not held.held
        assert "'a' was lost" in caplog.text


async def test_the_handle_renews_by_itself(scene: Scene) -> None:
    """With the machine's clock: the thread that does it waits for real."""
    async with scene.handle(housekeeping=True, components=None) as db, db.lock("a", ttl=1):
        first = (await rows_of(db, Range.prefix(layout.SYSTEM_LEASES)))[0][1].value

        async def renewed() -> bool:
            rows = await rows_of(db, Range.prefix(layout.SYSTEM_LEASES))
            return rows[0][1].value != first

        await until(renewed)


async def test_who_waits_long_is_next_though_others_come_back_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        busy, patient = Process(db), Process(db)
        rounds = 0
        stop = False

        async def come_back() -> None:
            nonlocal rounds
            while not stop:
                async with busy.lock("a"):
                    rounds += 1
                    # Long enough for the other one to look, never long enough for it to get in.
                    scene.clock.advance(0.01)
                    await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            tasks.create_task(come_back())
            await until(lambda: rounds > 0)
            # It never finds the row free: only the row itself can bring it its turn.
            monkeypatch.setattr(waiting, "LOOK_FIRST_S", 0.003)
            async with patient.lock("a"):
                stop = True
        assert await rows_of_locks(db) == 0


async def test_a_lock_kept_for_one_that_died_is_free_again(scene: Scene) -> None:
    async with scene.open() as db:
        holder, dying, third = Process(db), Process(db), Process(db)
        held = await holder.lock("a").acquire()
        task = asyncio.create_task(dying.lock("a").acquire())
        wants = dying.locks._waiting
        await pass_time(scene, lambda: any(one._want.is_next for one in wants))
        # Killed: it neither goes on nor cleans up.
        [dead] = wants
        dead._leases = _Gone()  # type: ignore[assignment]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await held.release()
        with pytest.raises(TimedOut):
            await third.lock("a", timeout=0).acquire()
        scene.clock.advance(1)
        async with third.lock("a", timeout=0):
            pass


class _Gone:
    async def give(self, name: str, owner: bytes) -> None:
        pass


async def test_a_waiter_that_gives_up_is_no_longer_next(scene: Scene) -> None:
    async with scene.open() as db:
        holder, leaving, third = Process(db), Process(db), Process(db)
        held = await holder.lock("a").acquire()
        task = asyncio.create_task(leaving.lock("a").acquire())
        wants = leaving.locks._waiting
        await pass_time(scene, lambda: any(one._want.is_next for one in wants))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await held.check()
        await held.release()
        async with third.lock("a", timeout=0):
            pass
        assert await rows_of_locks(db) == 0


@pytest.mark.row("trap 32")
async def test_a_cycle_over_processes_has_one_victim(scene: Scene) -> None:
    """Three processes; in one of them the chain goes over two tasks and a queue."""
    async with scene.open() as db:
        processes = [Process(db) for _ in range(3)]
        all_hold_one = asyncio.Barrier(3)
        done: list[int] = []
        victims: list[int] = []
        told: list[str] = []

        async def cross(number: int) -> None:
            async with processes[number].lock(f"n{number}"):
                await all_hold_one.wait()
                try:
                    async with processes[number].lock(f"n{(number + 1) % 3}"):
                        done.append(number)
                except DeadlockDetected as error:
                    victims.append(number)
                    told.extend(error.details["locks"])

        tasks = [asyncio.create_task(cross(number)) for number in range(3)]
        began = scene.clock.monotonic()
        await pass_time(scene, lambda: bool(victims))
        assert scene.clock.monotonic() - began < 1
        await pass_time(scene, lambda: all(task.done() for task in tasks))
        assert len(victims) == 1
        assert len(done) == 2
        assert sorted(told) == ["n0", "n1", "n2"]
        assert await rows_of_locks(db) == 0


@pytest.mark.row("trap 32")
async def test_a_cycle_through_a_queue_of_another_process_is_found(scene: Scene) -> None:
    """One task of a process holds what another of the same process waits for, across a lease."""
    async with scene.open() as db:
        here, there = Process(db), Process(db)
        victims: list[str] = []
        ready = asyncio.Barrier(3)

        async def cross(process: Process, first: str, then: str) -> None:
            async with process.lock(first):
                await ready.wait()
                try:
                    async with process.lock(then):
                        pass
                except DeadlockDetected:
                    victims.append(first)

        tasks = [
            asyncio.create_task(cross(here, "a", "b")),  # waits in the queue of its process
            asyncio.create_task(cross(here, "b", "c")),
            asyncio.create_task(cross(there, "c", "a")),
        ]
        await pass_time(scene, lambda: all(task.done() for task in tasks))
        assert len(victims) == 1


async def test_being_next_is_not_having_it(scene: Scene) -> None:
    async with scene.open() as db:
        leases = Process(db).locks._leases
        holder = Want("a", b"h" * 16, b"1" * 24, 30_000)
        waiter = Want("a", b"w" * 16, b"2" * 24, 30_000, patient=True)
        third = Want("a", b"t" * 16, b"3" * 24, 30_000, patient=True)
        assert await leases.take(holder) is not None
        for _ in range(3):
            assert await leases.take(waiter) is None
            assert await leases.take(third) is None
            assert (waiter.is_next, third.is_next) == (True, False)
        await leases.require("a", b"h" * 16)
        await leases.give("a", b"h" * 16)
        assert await leases.take(third) is None
        assert await leases.busy(third)
        assert not await leases.busy(waiter)
        assert await leases.take(waiter) is not None
        await leases.give("a", b"w" * 16)
        assert await rows_of_locks(db) == 0


@pytest.mark.row("trap 32")
async def test_a_cycle_that_dissolves_while_it_is_walked_is_none(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        leases = Process(db).locks._leases
        one, two = b"1" * 24, b"2" * 24
        assert await leases.take(Want("a", b"a" * 16, one, 30_000)) is not None
        assert await leases.take(Want("b", b"b" * 16, two, 30_000)) is not None
        await leases.tell_wait(one, "b")
        await leases.tell_wait(two, "a")
        expected = [(one, "b"), (two, "a")]
        assert await leases.cycle(one, "b") == expected
        assert await leases.cycle(two, "a") == expected[::-1]
        read = engine_of(db).read
        dissolve = True

        async def read_later(keys: Any, **options: Any) -> Any:
            nonlocal dissolve
            if len(keys) > 1 and dissolve:
                dissolve = False
                await leases.forget_wait(two)
            return await read(keys, **options)

        monkeypatch.setattr(engine_of(db), "read", read_later)
        assert await leases.cycle(one, "b") is None
        assert not dissolve


async def test_waiting_while_nobody_waits_back_is_no_cycle(scene: Scene) -> None:
    async with scene.open() as db:
        here, there = Process(db), Process(db)
        held = await there.lock("b").acquire()

        async def both() -> None:
            async with here.lock("a"), here.lock("b"):
                pass

        task = asyncio.create_task(both())
        looked = scene.clock.monotonic() + 5 * waiting.CYCLE_LOOK_S
        await pass_time(scene, lambda: scene.clock.monotonic() > looked)
        assert not task.done()
        await held.release()
        await pass_time(scene, task.done)
        await task
        assert await rows_of_locks(db) == 0


async def test_what_the_killed_left_behind_is_removed(scene: Scene) -> None:
    async with scene.open() as db:
        killed = Process(db)
        count = SWEEP_BATCH_MAX + 5
        # Kept, for a lock that its owner forgets is let go.
        held = [await killed.lock(f"n{number}", ttl=10).acquire() for number in range(count)]
        await killed.locks._leases.tell_wait(b"c" * 24, "n0")
        held.append(await killed.lock("living", ttl=3600).acquire())
        assert await killed.locks.sweep() == 0
        scene.clock.advance(60)
        assert await killed.locks.sweep() == count + 1
        assert await rows_of_locks(db) == 1
        assert len(held) == count + 1


async def test_a_damaged_row_is_named_as_such(scene: Scene) -> None:
    async with scene.handle() as db:
        await engine_of(db).commit(Batch([Put(lease_key("a"), b"\xc1")]))
        with pytest.raises(IntegrityFailed, match="holdfast check"):
            await db.lock("a").acquire()
        assert len(db._require_shared().locks.table) == 0


async def test_a_damaged_row_does_not_keep_the_dead_ones(scene: Scene) -> None:
    async with scene.handle() as db, scene.handle() as killed:
        held = await killed.lock("z", ttl=10).acquire()
        await engine_of(db).commit(Batch([Put(lease_key("a"), b"\xc1")]))
        scene.clock.advance(60)
        assert await db._require_shared().locks.sweep() == 1
        assert await rows_of_locks(db) == 1, "the damaged one"
        assert held.held


async def test_a_lock_that_its_owner_forgot_is_let_go(scene: Scene) -> None:
    async with scene.open() as db:
        for _ in range(3):
            lock = await db.lock("a", timeout=0).acquire()
            del lock
            gc.collect()
        async with db.lock("a", timeout=0):
            pass
        assert await rows_of_locks(db) == 0
        assert len(db._require_shared().locks.table) == 0


async def test_a_database_that_its_owners_forgot_with_its_lock_is_closed(kept_scene: Scene) -> None:
    async def use() -> None:
        db = await kept_scene.handle(housekeeping=True).open()
        async with db.lock("a"):
            await db.entries.set("a", 1)

    def closed() -> bool:
        gc.collect()
        return not [one for one in threading.enumerate() if one.name.startswith("holdfast")]

    await use()
    with pytest.warns(ResourceWarning, match="never closed"):
        await until(closed)
