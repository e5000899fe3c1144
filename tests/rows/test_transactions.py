"""Rows of transactions: begun by hand or by a function, isolated, retried, over once."""

import asyncio
from typing import Any

import pytest

from holdfast import Conflict
from holdfast.contract.errors import ReadOnly, TransactionClosed
from holdfast.database.handle import Database
from holdfast.database.transaction import Transaction
from tests.store.scene import Scene, listed, rows_of


@pytest.mark.row("I-050", "E-022")
async def test_an_explicit_transaction_shows_its_writes_with_its_commit(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", "old")
        tx = await db.transaction().begin()
        await tx.entries.set("a", "new")
        await tx.entries.set("b", "added")
        assert (await db.entries.require("a")).value == "old"
        assert await db.entries.get("b") is None
        await tx.commit()
        assert (await db.entries.require("a")).value == "new"
        assert (await db.entries.require("b")).value == "added"


@pytest.mark.row("I-052")
@pytest.mark.parametrize("first", ["commit", "rollback"])
@pytest.mark.parametrize("then", ["commit", "rollback"])
async def test_a_second_end_is_refused_and_changes_nothing(
    scene: Scene, first: str, then: str
) -> None:
    async with scene.open() as db:
        tx = await db.transaction().begin()
        await tx.entries.set("a", 1)
        await getattr(tx, first)()
        rows, state = await rows_of(db), tx.state
        with pytest.raises(TransactionClosed):
            await getattr(tx, then)()
        assert tx.state == state == {"commit": "committed", "rollback": "rolled_back"}[first]
        assert await rows_of(db) == rows
        assert await db.entries.has("a") is (first == "commit")


async def accounts(db: Database) -> dict[str, int]:
    return {str(one.key): one.value for one in await listed(db.entries.items("accounts:+"))}


async def transfer(tx: Transaction, amount: int) -> int:
    """Move money from a to b, refusing an overdraft after the first write; what a has left."""
    await tx.entries.modify("accounts:b", lambda balance: balance + amount)
    left = await tx.entries.modify("accounts:a", lambda balance: balance - amount)
    if left.value < 0:
        raise OverdrawnError(left.value)
    return int(left.value)


class OverdrawnError(Exception):
    """More was to be moved than there was."""


@pytest.mark.row("I-049")
async def test_a_transaction_function_moves_money_whole_or_not_at_all(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"accounts:a": 100, "accounts:b": 0})
        assert await db.transact(lambda tx: transfer(tx, 30)) == 70
        assert await accounts(db) == {"accounts:a": 70, "accounts:b": 30}
        before = await rows_of(db)
        with pytest.raises(OverdrawnError):
            await db.transact(lambda tx: transfer(tx, 71))
        assert await rows_of(db) == before
        await asyncio.gather(*(db.transact(lambda tx: transfer(tx, 7)) for _ in range(10)))
        assert await accounts(db) == {"accounts:a": 0, "accounts:b": 100}


@pytest.mark.row("I-058", "E-029")
@pytest.mark.parametrize(("retries", "wins"), [(3, True), (2, True), (1, False), (0, False)])
async def test_a_loser_runs_again_as_often_as_it_was_told(
    scene: Scene, retries: int, wins: bool
) -> None:
    conflicts = 2
    async with scene.open() as db:
        await db.entries.set("n", 0)
        runs = 0

        async def work(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await tx.entries.modify("n", lambda value: value + 1)
            if runs <= conflicts:
                await db.entries.modify("n", lambda value: value + 100)

        if wins:
            await db.transact(work, retries=retries)
            assert runs == conflicts + 1
            assert (await db.entries.require("n")).value == 201
        else:
            with pytest.raises(Conflict):
                await db.transact(work, retries=retries)
            assert runs == retries + 1
            assert (await db.entries.require("n")).value == 100 * runs


@pytest.mark.row("I-057", "E-096")
async def test_a_read_only_transaction_reads_and_refuses_every_write(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"a": 1, "b": 2})
        before = await rows_of(db)
        async with db.transaction(read_only=True) as tx:
            assert (await tx.entries.require("a")).value == 1
            keys = await listed(tx.entries.keys())
            assert list(map(str, keys)) == ["a", "b"]
            for write in (
                tx.entries.set("a", 2), tx.entries.delete("a"), tx.entries.delete_many(keys),
            ):  # fmt: skip
                with pytest.raises(ReadOnly):
                    await write
            assert await tx.entries.count() == 2
        assert await rows_of(db) == before


#: The calls on one key, and the value that is left; None: no entry.
CALLS: list[tuple[list[Any], Any]] = [
    ([1], 1),
    ([1, 2], 2),
    ([1, None], None),
    ([1, None, 2], 2),
    ([None, 1], 1),
    ([None, 1, None], None),
    ([None, 1, None, 2], 2),
    ([1, None, None], None),
    ([1, None, 2, None, 3, 4, None], None),
]


@pytest.mark.row("E-097")
@pytest.mark.parametrize("before", [None, "before"])
@pytest.mark.parametrize(("calls", "left"), CALLS, ids=str)
async def test_the_last_of_several_pending_calls_decides(
    scene: Scene, before: Any, calls: list[Any], left: Any
) -> None:
    async with scene.open() as db:
        if before is not None:
            await db.entries.set("a", before)
        there = before
        async with db.transaction() as tx:
            for call in calls:
                if call is None:
                    assert await tx.entries.delete("a") is (there is not None)
                else:
                    await tx.entries.set("a", call)
                there = call
                assert await tx.entries.has("a") is (there is not None)
        entry = await db.entries.get("a")
        assert (None if entry is None else entry.value) == left
        assert await db.entries.count() == (left is not None)
