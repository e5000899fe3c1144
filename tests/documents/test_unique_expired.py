"""A document that has run out, and was not swept yet, holds no value of a unique index any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast.contract.errors import DuplicateKey
from holdfast.database.handle import Database
from tests.store.scene import Scene, listed

#: Too big for one row, so that what ends it has chunks to read.
BIG = "big" * 100_000


@asynccontextmanager
async def run_out(scene: Scene, **more: Any) -> AsyncIterator[tuple[Database, Any]]:
    """A collection with a unique index on `n`, whose documents `a` and `b` have run out."""
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("n", "n", unique=True)
        await things.set("a", {"n": 1, **more}, ttl=10)
        await things.set("b", {"n": 2, **more}, ttl=10)
        await things.set("living", {"n": 3})
        with pytest.raises(DuplicateKey):
            await things.set("d", {"n": 1})
        scene.clock.advance(11)
        yield db, things
        assert await things.get("a") is None
        with pytest.raises(DuplicateKey):
            await things.set("late", {"n": 3})


@pytest.mark.row("I-044", "I-103")
@pytest.mark.parametrize("more", [{}, {"text": BIG}], ids=["small", "big"])
async def test_a_write_takes_the_value(scene: Scene, more: dict[str, Any]) -> None:
    async with run_out(scene, **more) as (_, things):
        await things.set("d", {"n": 1})
        key = await things.add({"n": 2})
        assert await things.find_many(n=1) == [{"n": 1}]
        assert await things.find_one(n=2) == await things.get(key) == {"n": 2}
        with pytest.raises(DuplicateKey):
            await things.set("e", {"n": 1})
        assert await things.count() == 3


@pytest.mark.row("I-044", "I-103")
async def test_what_changes_a_document_takes_the_value(scene: Scene) -> None:
    async with run_out(scene) as (_, things):
        await things.patch("living", {"n": 1})
        await things.modify("living", lambda found: {"n": found["n"] + 1})
        assert await things.get("living") == {"n": 2}
        await things.set("other", {"n": 3})


@pytest.mark.row("I-044", "I-103")
async def test_many_writes_take_the_values_in_one_commit(scene: Scene) -> None:
    async with run_out(scene) as (_, things):
        # One of those that ran out is written itself, and another document has its value.
        await things.set_many({"d": {"n": 1}, "e": {"n": 2}, "b": {"n": 4}})
        assert await listed(things.keys()) == ["b", "d", "e", "living"]
        with pytest.raises(DuplicateKey):
            await things.set_many({"f": {"n": 5}, "g": {"n": 5}})


@pytest.mark.row("I-044", "I-103")
async def test_where_one_value_is_taken_nothing_is_written(scene: Scene) -> None:
    async with run_out(scene) as (_, things):
        with pytest.raises(DuplicateKey):
            await things.set_many({"d": {"n": 1}, "e": {"n": 3}})
        assert await listed(things.keys()) == ["living"]
        assert await things.find_many(n=1) == []


@pytest.mark.row("I-044", "I-103")
async def test_a_batch_and_transactions_take_the_values(scene: Scene) -> None:
    async with run_out(scene) as (db, things):
        result = await things.batch([("set", "d", {"n": 1}), ("delete", "a")])
        assert result.success, result.failures
        async with db.transaction() as tx:
            inside = tx.collection("things")
            await inside.set("short", {"n": 7}, ttl=5)
            scene.clock.advance(6)
            await inside.set("e", {"n": 2})
            await inside.set("f", {"n": 7})  # What it wrote itself has run out meanwhile.
            assert await inside.find_many(n=7) == [{"n": 7}]
        assert await listed(things.keys()) == ["d", "e", "f", "living"]
        async with await things.begin_transaction() as own:
            with pytest.raises(DuplicateKey):
                await own.set("g", {"n": 7})


@pytest.mark.row("I-044", "I-103")
async def test_of_a_rolled_back_transaction_nothing_remains(scene: Scene) -> None:
    async with run_out(scene) as (_, things):
        own = await things.begin_transaction()
        await own.set("d", {"n": 1})
        await own.rollback()
        await things.set("e", {"n": 1})


@pytest.mark.row("I-044", "I-103")
async def test_an_index_is_built_over_documents_that_have_run_out(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        # One that has run out stands before the living one of its value, and one behind it.
        await things.set_many({"a": {"n": 1}, "e": {"n": 2, "text": BIG}}, ttl=10)
        await things.set_many({"c": {"n": 1}, "d": {"n": 2}})
        scene.clock.advance(11)
        await things.create_index("n", "n", unique=True)
        assert await things.find_many(n=1) == [{"n": 1}]
        assert await things.find_many(n=2) == [{"n": 2}]
        for taken in (1, 2):
            with pytest.raises(DuplicateKey):
                await things.set("f", {"n": taken})
        await things.set("a", {"n": 5})
        with pytest.raises(DuplicateKey):
            await things.set("e", {"n": 2})


@pytest.mark.row("I-044", "I-103")
async def test_what_runs_out_during_a_build_is_in_nobodys_way(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("a", {"n": 0}, ttl=10)
        await things.set_many({f"k{at:04}": {"n": at} for at in range(1, 600)})
        await things.set("last", {"n": 0})

        def later(_: int) -> None:
            scene.clock.advance(11)

        await things.create_index("n", "n", unique=True, progress=later)
        assert await things.find_many(n=0) == [{"n": 0}]


@pytest.mark.row("I-044", "I-103")
async def test_a_write_takes_the_value_while_the_index_is_built(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({f"k{at:04}": {"n": at} for at in range(3)}, ttl=10)

        class Broken(Exception):
            pass

        def broken(_: int) -> None:
            raise Broken

        with pytest.raises(Broken):
            await things.create_index("n", "n", unique=True, progress=broken)
        scene.clock.advance(11)
        await things.set_many({"x": {"n": 0}, "y": {"n": 1}, "z": {"n": 2}})
        with pytest.raises(DuplicateKey):
            await things.set("more", {"n": 1})
        await things.create_index("n", "n", unique=True)
        assert await things.find_many(n=1) == [{"n": 1}]
