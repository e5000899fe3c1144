"""Transactions at their edges: many reads, no snapshots, statements, cancelled commits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put, Receipt
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine, Layer, Snapshot
from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    OutcomeUnknown,
    StoreClosed,
    TransactionClosed,
)
from holdfast.contract.record import Range
from holdfast.database.transaction import Transaction
from holdfast.store.isolation import IsolationLevel
from holdfast.store.transaction import TransactionEngine
from tests.store.scene import Scene, engine_of, until


class WithoutSnapshots(Layer):
    """The engine as one would have it that keeps no moments."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, snapshots=False, batch_operations_max=50)

    async def snapshot(self) -> Any:
        raise AssertionError("nobody may ask")


async def begin(engine: Engine, level: str, *, read_only: bool = False) -> TransactionEngine:
    return await TransactionEngine.begin(engine, IsolationLevel.parse(level), read_only=read_only)


def ignored(_revision: int | None) -> None:
    """Nobody is told."""


@pytest.mark.parametrize("level", ["repeatable_read", "serializable"])
async def test_without_snapshots_all_that_was_read_is_checked(scene: Scene, level: str) -> None:
    async with scene.open_unchecked() as db:
        engine = WithoutSnapshots(engine_of(db))
        await engine.commit(Batch([Put(b"a", b"1"), Put(b"b", b"1")]))
        tx = await begin(engine, level)
        [a] = await tx.read([b"a"])
        await engine.commit(Batch([Put(b"a", b"2")]))
        # Read again, it is what it was.
        assert (await tx.read([b"a"]))[0] == a
        with pytest.raises(Conflict):
            await tx.finish(ignored)
        tx = await begin(engine, level)
        assert len((await tx.scan(Range(b"a", b"c"))).rows) == 2
        await engine.commit(Batch([Put(b"bb", b"phantom")]))
        await tx.commit(Batch([Put(b"c", b"1")]))
        with pytest.raises(Conflict):
            await tx.finish(ignored)
        tx = await begin(engine, level, read_only=True)
        await tx.read([b"a"])
        assert await tx.finish(ignored) >= tx.snapshot_revision


async def test_more_reads_than_a_batch_can_check(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        await engine.commit(Batch([Put(b"k%04d" % n, b"") for n in range(300)]))

        class Narrow(Layer):
            @property
            def capabilities(self) -> Capabilities:
                return replace(self.inner.capabilities, batch_operations_max=50)

        for changed, lost in ((b"k0123", True), (b"l", False)):
            tx = await begin(Narrow(engine), "serializable")
            for n in range(300):
                await tx.read([b"k%04d" % n])
            await tx.commit(Batch([Put(b"a", b"1")]))
            await engine.commit(Batch([Put(changed, b"new")]))
            if lost:
                with pytest.raises(Conflict):
                    await tx.finish(ignored)
            else:
                await tx.finish(ignored)


async def test_a_transaction_that_only_read_a_lot_commits(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        tx = await begin(engine, "serializable", read_only=True)
        for n in range(0, 101_000, 1000):
            await tx.read([b"%d" % key for key in range(n, n + 1000)])
        assert await tx.finish(ignored) == tx.snapshot_revision


async def test_a_statement_of_read_committed_sees_one_moment(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"k:{n:04d}": 0 for n in range(400)})
        async with db.transaction("read_committed") as tx:
            seen: list[Any] = []
            async for entry in tx.entries.items("k/#"):
                if not seen:
                    await db.entries.set_many({f"k:{n:04d}": 1 for n in range(400)})
                seen.append(entry.value)
            assert seen == [0] * 400
            # The next statement sees the next moment.
            assert {entry.value async for entry in tx.entries.items("k/#")} == {1}


async def test_a_cancelled_commit_says_what_became_of_it(scene: Scene) -> None:
    class Slow(Layer):
        started, go_on = asyncio.Event(), asyncio.Event()

        async def commit(self, batch: Batch) -> Receipt:
            self.started.set()
            await self.go_on.wait()
            return await self.inner.commit(batch)

    async with scene.open() as db:
        slow = Slow(engine_of(db))
        db._engine = slow
        tx = await db.transaction().begin()
        entry = await tx.entries.set("a", 1)
        with pytest.raises(InvalidInput, match="not committed yet"):
            _ = entry.revision
        task = asyncio.ensure_future(tx.commit())
        await slow.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tx.state == "committing"
        slow.go_on.set()
        await until(lambda: tx.state == "committed")
        assert entry.revision == tx.revision == (await db.entries.require("a")).revision


class Moments(Layer):
    """Takes its time over a snapshot, and keeps those it took."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self.taken: list[Snapshot] = []
        self.go_on = asyncio.Event()

    async def snapshot(self) -> Snapshot:
        taken = await self.inner.snapshot()
        self.taken.append(taken)
        await self.go_on.wait()
        return taken

    async def all_closed(self) -> bool:
        """Whether none of them can be read any more."""
        for one in self.taken:
            with pytest.raises(StoreClosed):
                await self.inner.read([b"x"], at=one)
        return True


async def test_a_moment_is_let_go_when_the_handle_closes_before_it_is_handed_out(
    scene: Scene,
) -> None:
    async with scene.open() as kept:
        db = await scene.handle()
        db._engine = moments = Moments(engine_of(kept))
        snapshot = asyncio.ensure_future(db.snapshot())
        transaction = asyncio.ensure_future(db.transaction().begin())
        await until(lambda: len(moments.taken) == 2)
        await db.close()
        moments.go_on.set()
        with pytest.raises(StoreClosed):
            await snapshot
        with pytest.raises(StoreClosed):
            await transaction
        assert await moments.all_closed()


async def test_a_transaction_begun_twice_at_once_begins_once(scene: Scene) -> None:
    async with scene.open() as db:
        db._engine = moments = Moments(engine_of(db))
        tx = db.transaction()
        works = [asyncio.ensure_future(tx.begin()) for _ in range(2)]
        await until(lambda: len(moments.taken) == 2)
        moments.go_on.set()
        done = await asyncio.gather(*works, return_exceptions=True)
        assert [type(one) for one in done] == [Transaction, TransactionClosed]
        await tx.rollback()
        assert await moments.all_closed()


async def test_a_block_whose_handle_was_closed_lets_its_moment_go(scene: Scene) -> None:
    async with scene.open() as kept:
        db = await scene.handle()
        db._engine = moments = Moments(engine_of(kept))
        moments.go_on.set()
        tx = db.transaction()

        async def work() -> None:
            async with tx:
                await tx.entries.set("a", 1)
                await db.close()

        with pytest.raises(StoreClosed):
            await work()
        assert tx.state == "rolled_back"
        assert await moments.all_closed()
        assert await kept.entries.get("a") is None


async def test_an_unknown_outcome_is_asked_for_with_the_same_id(scene: Scene) -> None:
    class Forgetful(Layer):
        """Loses the answer of the first commit."""

        lost = False

        async def commit(self, batch: Batch) -> Receipt:
            receipt = await self.inner.commit(batch)
            if not self.lost:
                self.lost = True
                raise OutcomeUnknown("the answer was lost; repeat it with the same batch id")
            return receipt

    async with scene.open() as db:
        db._engine = Forgetful(engine_of(db))
        before = await db.head()
        async with db.transaction() as tx:
            await tx.entries.set("a", 1)
        assert await db.head() == before + 1 == tx.revision
        entry = await db.entries.require("a")
        assert (entry.metadata.version, entry.revision) == (1, tx.revision)


async def test_what_a_rolled_back_transaction_handed_out_was_never_stored(scene: Scene) -> None:
    async with scene.open() as db:
        tx = await db.transaction().begin()
        entry = await tx.entries.set("a", 1)
        assert entry.metadata.version == 1
        assert "pending" in repr(entry)
        await tx.rollback()
        with pytest.raises(InvalidInput, match="rolled back"):
            _ = entry.revision
