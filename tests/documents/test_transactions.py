"""A collection inside transactions of its own: levels, savepoints, time-outs, deadlocks."""

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import (
    Conflict,
    DeadlockDetected,
    InvalidInput,
    ReadOnly,
    TransactionAborted,
    TransactionClosed,
    Unsupported,
)
from holdfast.documents.collection import Collection
from holdfast.documents.query import F
from holdfast.documents.transacting import CollectionTransaction
from tests.store.scene import Scene, listed, until

Things = Collection[Any]


@pytest.mark.row("I-051")
async def test_a_transaction_has_an_id_and_a_state(scene: Scene) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        ids = set()
        for number in range(1_000):
            tx = await things.begin_transaction()
            states = [tx.state]
            ids.add(tx.id)
            if number % 2:
                await tx.rollback()
            else:
                await tx.commit()
            states.append(tx.state)
            assert states == ["active", "aborted" if number % 2 else "committed"]
        assert len(ids) == 1_000


@pytest.mark.row("I-049")
async def test_a_function_commits_by_returning_and_rolls_back_by_raising(scene: Scene) -> None:
    async with scene.open() as db:
        accounts: Things = db.collection("accounts")
        await accounts.set_many({"a": {"money": 100}, "b": {"money": 0}})

        async def transfer(tx: CollectionTransaction[Any], *, fails: bool = False) -> int:
            a, b = await tx.require("a"), await tx.require("b")
            await tx.set("a", {"money": a["money"] - 30})
            if fails:
                raise ZeroDivisionError
            await tx.set("b", {"money": b["money"] + 30})
            return int(b["money"]) + 30

        assert await accounts.transaction(transfer) == 30
        with pytest.raises(ZeroDivisionError):
            await accounts.transaction(lambda tx: transfer(tx, fails=True))
        assert await accounts.get_many(["a", "b"]) == {"a": {"money": 70}, "b": {"money": 30}}


@pytest.mark.row("I-050", "I-054")
async def test_a_transaction_is_a_storage_that_sees_its_own_writes(scene: Scene) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        await things.create_index("by_n", "n")
        await things.set_many({"a": {"n": 1}, "b": {"n": 2}})
        tx = await things.begin_transaction()
        await tx.set("c", {"n": 3})
        assert await tx.delete("a")
        assert not await tx.delete("x")
        assert await tx.get("c") == {"n": 3}
        assert await tx.get("a") is None
        assert not await tx.has("a")
        assert await tx.size() == 2
        assert await listed(tx.keys()) == ["b", "c"]
        assert await listed(tx.values()) == [{"n": 2}, {"n": 3}]
        assert await listed(tx.entries()) == [("b", {"n": 2}), ("c", {"n": 3})]
        assert await tx.find_many(F.n > 2) == [{"n": 3}]
        assert await things.get("c") is None
        assert await things.find_many(F.n > 2) == []
        await tx.collection("others").set("o", {})
        await tx.commit()
        assert await things.find_many(F.n > 2) == [{"n": 3}]
        assert await db.collection("others").has("o")
        tx = await things.begin_transaction()
        assert await tx.clear() == 2
        assert await tx.size() == 0
        await tx.rollback()
        assert await things.size() == 2


@pytest.mark.row("I-053")
async def test_savepoints_are_taken_back_to_by_name(scene: Scene) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        async with await things.begin_transaction() as tx:
            await tx.set("a", {})
            await tx.savepoint("one")
            await tx.set("b", {})
            await tx.savepoint("two")
            await tx.set("c", {})
            await tx.rollback_to("two")
            assert await listed(tx.keys()) == ["a", "b"]
            await tx.rollback_to("one")
            assert await listed(tx.keys()) == ["a"]
            await tx.set("d", {})
            await tx.rollback_to("one")  # It stays, and can be used again.
            with pytest.raises(InvalidInput, match="two"):
                await tx.rollback_to("two")
            with pytest.raises(InvalidInput):
                await tx.rollback_to("never")
            await tx.release("one")
            with pytest.raises(InvalidInput):
                await tx.release("one")
        assert await listed(things.keys()) == ["a"]


@pytest.mark.row("trap 31")
def test_savepoints_over_many_changes_copy_nothing() -> None:
    with holdfast.sync.open("memory://", housekeeping=False) as db:
        things = db.collection("things", history="none")
        with things.begin_transaction() as tx:
            written = 0

            def write(count: int) -> None:
                nonlocal written
                tx.set_many(
                    {f"k{number:06}": {"n": 0} for number in range(written, written + count)}
                )
                written += count

            write(28_000)  # A document is two rows: a transaction has room for a hundred thousand.
            tracemalloc.start()
            try:
                tx.savepoint("one")
                tx.savepoint("two")
                tx.savepoint("three")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            # A copy of what was written would take megabytes.
            assert peak < 100_000
            tx.savepoint("outer")
            write(8_000)
            tx.savepoint("middle")
            write(6_000)
            tx.savepoint("inner")
            write(6_000)
            tx.rollback_to("middle")
            assert not tx.has("k036000")
            assert tx.has("k035999")
        assert things.count() == 36_000


async def dirty_read(things: Things, level: str) -> bool:
    writer = await things.begin_transaction()
    await writer.set("x", {"n": 2})
    async with await things.begin_transaction(isolation=level) as reader:
        seen = await reader.require("x")
    await writer.rollback()
    return bool(seen["n"] == 2)


async def non_repeatable_read(things: Things, level: str) -> bool:
    async with await things.begin_transaction(isolation=level, read_only=True) as reader:
        await reader.require("x")
        await things.set("x", {"n": 2})
        return bool((await reader.require("x"))["n"] == 2)


async def lost_update(things: Things, level: str) -> bool:
    one = await things.begin_transaction(isolation=level)
    value = (await one.require("x"))["n"]
    await things.set("x", {"n": 50})
    await one.set("x", {"n": value + 1})
    return await committed(one)


async def phantom(things: Things, level: str) -> bool:
    one = await things.begin_transaction(isolation=level)
    counted = await one.count(F.n > 0)
    await things.set("z", {"n": 5})
    await one.set("total", {"counted": counted})
    return await committed(one)


async def write_skew(things: Things, level: str) -> bool:
    one = await things.begin_transaction(isolation=level)
    other = await things.begin_transaction(isolation=level)
    for tx, mine, theirs in ((one, "x", "y"), (other, "y", "x")):
        if (await tx.require(theirs))["n"]:
            await tx.set(mine, {"n": 0})
    return await committed(one) and await committed(other)


async def committed(tx: CollectionTransaction[Any]) -> bool:
    try:
        await tx.commit()
    except Conflict:
        return False
    return True


#: Whether each anomaly is seen at READ UNCOMMITTED, READ COMMITTED, REPEATABLE READ, SERIALIZABLE.
ANOMALIES: dict[Callable[[Things, str], Awaitable[bool]], tuple[bool, bool, bool, bool]] = {
    dirty_read: (False, False, False, False),  # Nothing here shows uncommitted data.
    non_repeatable_read: (True, True, False, False),
    lost_update: (True, True, False, False),
    phantom: (True, True, True, False),
    write_skew: (True, True, True, False),
}
LEVELS = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")


@pytest.mark.row("I-055")
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("anomaly", ANOMALIES)
async def test_each_level_shows_and_forbids_what_its_name_says(
    scene: Scene,
    anomaly: Callable[[Things, str], Awaitable[bool]],
    level: str,
    indexed: bool,
) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        if indexed:
            await things.create_index("by_n", "n")
        await things.set_many({"x": {"n": 1}, "y": {"n": 1}})
        assert await anomaly(things, level) is ANOMALIES[anomaly][LEVELS.index(level)]


@pytest.mark.row("I-056", "I-104")
async def test_a_transaction_that_takes_too_long_is_rolled_back(tmp_path: Path) -> None:
    async with holdfast.open(f"lmdb:///{tmp_path / 'app'}", housekeeping=False) as db:
        things: Things = db.collection("things")
        await things.set("x", {"n": 1})
        slow = await things.begin_transaction(timeout=0.05)
        await slow.set("x", {"n": 2})
        await until(lambda: slow.state == "aborted")  # By itself: its moment is let go.
        for attempt in (slow.commit(), slow.get("x"), slow.set("y", {}), slow.rollback()):
            with pytest.raises(TransactionAborted, match=r"0\.05 seconds"):
                await attempt
        with pytest.raises(TransactionAborted):
            await listed(slow.keys())
        async with await things.begin_transaction(timeout=timedelta(seconds=20)) as other:
            await other.set("x", {"n": 3})
        assert await things.get("x") == {"n": 3}
        for wrong in (0, -1, "1", True):
            with pytest.raises(InvalidInput, match="seconds above 0"):
                await things.begin_transaction(timeout=wrong)  # type: ignore[arg-type]


@pytest.mark.row("I-104", "I-052")
async def test_what_is_over_says_so(scene: Scene) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        tx = await things.begin_transaction()
        await tx.rollback()
        for attempt in (
            tx.get("x"),
            tx.set("x", {}),
            tx.commit(),
            tx.rollback(),
            tx.savepoint("s"),
        ):
            with pytest.raises(TransactionAborted, match="rolled back"):
                await attempt
        tx = await things.begin_transaction()
        await tx.commit()
        for attempt in (tx.get("x"), tx.set("x", {}), tx.commit(), tx.rollback()):
            with pytest.raises(TransactionClosed):
                await attempt
        with pytest.raises(Unsupported):
            async with db.transaction() as outer:
                await outer.collection("things").begin_transaction()


@pytest.mark.row("I-057", "I-058")
async def test_reading_only_and_trying_again(scene: Scene) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        await things.set("n", {"n": 0})
        tx = await things.begin_transaction(read_only=True)
        for attempt in (tx.set("x", {}), tx.delete("n"), tx.clear()):
            with pytest.raises(ReadOnly):
                await attempt
        await tx.rollback()
        disturbances = 0

        async def counts(tx: CollectionTransaction[Any]) -> None:
            nonlocal disturbances
            found = await tx.require("n")
            if disturbances < 2:
                disturbances += 1
                await things.set("n", {"n": 10 * disturbances})
            await tx.set("n", {"n": found["n"] + 1})

        await things.transaction(counts, retries=3)
        assert await things.get("n") == {"n": 21}
        disturbances = 0
        with pytest.raises(Conflict):
            await things.transaction(counts, retries=1)
        with pytest.raises(InvalidInput):
            await things.transaction(counts, retries=-1)


@pytest.mark.row("I-059", "I-105", "trap 32")
async def test_two_that_cross_are_told_apart_at_once(scene: Scene) -> None:
    async with scene.open() as db:
        accounts: Things = db.collection("accounts")
        await accounts.set_many({"a": {"money": 1}, "b": {"money": 1}})
        first = {"a": asyncio.Event(), "b": asyncio.Event()}

        async def cross(mine: str, theirs: str) -> None:
            async def work(tx: CollectionTransaction[Any]) -> None:
                async with db.lock(f"accounts/{mine}"):
                    await tx.set(mine, {"money": 2})
                    first[mine].set()
                    await first[theirs].wait()
                    async with db.lock(f"accounts/{theirs}"):
                        await tx.set(theirs, {"money": 2})

            await accounts.transaction(work, retries=0)

        started = time.monotonic()
        done = await asyncio.gather(cross("a", "b"), cross("b", "a"), return_exceptions=True)
        assert sorted(str(type(one)) for one in done) == sorted(
            str(one) for one in (DeadlockDetected, type(None))
        )
        assert time.monotonic() - started < 10
        [victim] = [one for one in done if isinstance(one, DeadlockDetected)]
        assert victim.code == "DEADLOCK_DETECTED"


async def test_a_transaction_of_one_collection_is_told_like_any_other(scene: Scene) -> None:
    async with scene.open() as db:
        things: Things = db.collection("things")
        commits: list[int] = []
        things.on("change", lambda changes: commits.append(len(changes)))
        async with await things.begin_transaction() as tx, things.live() as live:
            await tx.set("a", {})
            await tx.set("b", {})
            assert commits == []
            await tx.commit()
            assert commits == [2]
            assert {(await anext(live)).key, (await anext(live)).key} == {"a", "b"}


def test_without_a_loop(tmp_path: Path) -> None:
    with holdfast.sync.open(f"sqlite:///{tmp_path / 'app'}") as db:
        things = db.collection("things")

        def work(tx: holdfast.sync.CollectionTransaction[Any]) -> int:
            tx.set("a", {"n": 1})
            assert not things.has("a")
            return tx.size()

        assert things.transaction(work) == 1
        tx = things.begin_transaction(timeout=0.05)
        time.sleep(0.1)
        with pytest.raises(TransactionAborted):
            tx.set("b", {})
        assert tx.state == "aborted"
        with things.begin_transaction() as tx:
            tx.set("c", {})
        assert list(things.keys()) == ["a", "c"]
