"""Savepoints: what was written since one is taken back, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from holdfast.contract.errors import InvalidInput, TransactionClosed
from holdfast.database.handle import Database
from holdfast.store import write_set
from holdfast.store.change import Change
from tests.store.scene import Scene


async def test_what_was_written_since_a_savepoint_is_taken_back(scene: Scene) -> None:
    async with scene.open() as db:
        ledger = await db.stores.create("ledger")
        await db.entries.set("a", 1, tags=["old"])
        async with db.transaction() as tx:
            await tx.entries.set("b", 1)
            tx.savepoint("first")
            await tx.entries.set("a", 2, tags=["new"], ttl=100)
            await tx.entries.set("b", 2)
            await tx.entries.delete("a")
            inside = await tx.stores.get("ledger")
            await inside.set(b"k", b"v")
            tx.savepoint("second")
            await tx.entries.set("c", 3)
            tx.rollback_to("second")
            assert await tx.entries.get("c") is None
            assert await inside.get(b"k") == b"v"
            tx.rollback_to("first")
            # It stays, and can be used again.
            await tx.entries.set("d", 1)
            tx.rollback_to("first")
            assert (await tx.entries.require("a")).value == 1
            await tx.entries.set("e", 1)
        assert [str(key) async for key in db.entries.keys("#")] == ["a", "b", "e"]
        assert (await db.entries.require("a")).metadata.tags == ["old"]
        assert (await db.entries.require("b")).metadata.version == 1
        assert not await ledger.has(b"k")
        changes = [change.key async for change in _changes(db, tx.revision)]
        assert [str(key) for key in changes] == ["b", "e"]


async def _changes(db: Database, revision: int) -> AsyncIterator[Change]:
    async with db.watch("#", view="*", since=revision - 1) as watch:
        while (change := await watch.poll(0.05)) is not None:
            yield change


async def test_a_name_hides_the_same_name_until_it_is_released(scene: Scene) -> None:
    async with scene.open() as db, db.transaction() as tx:
        tx.savepoint("s")
        await tx.entries.set("a", 1)
        tx.savepoint("s")
        await tx.entries.set("a", 2)
        tx.rollback_to("s")
        assert (await tx.entries.require("a")).value == 1
        tx.release("s")
        tx.rollback_to("s")
        assert await tx.entries.get("a") is None
        tx.release("s")
        with pytest.raises(InvalidInput, match="none"):
            tx.rollback_to("s")


async def test_savepoints_that_do_not_exist_are_named(scene: Scene) -> None:
    async with scene.open() as db:
        async with db.transaction() as tx:
            tx.savepoint("known")
            for wrong in (tx.rollback_to, tx.release):
                with pytest.raises(InvalidInput, match=r"'unknown' was wanted.*'known'"):
                    wrong("unknown")
            with pytest.raises(InvalidInput):
                tx.savepoint("")
        for late in (tx.savepoint, tx.rollback_to, tx.release):
            with pytest.raises(TransactionClosed):
                late("known")


async def test_savepoints_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_set, "SAVEPOINTS_MAX", 3)
    async with scene.open() as db, db.transaction() as tx:
        for n in range(3):
            tx.savepoint(f"s{n}")
        with pytest.raises(InvalidInput, match="at most 3"):
            tx.savepoint("one more")
