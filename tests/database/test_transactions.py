"""Transactions: own writes are read, all or nothing is written, and over is over."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import Conflict, Database, StoreKey
from holdfast.contract.errors import InvalidInput, ReadOnly, StoreClosed, TransactionClosed
from holdfast.database.transaction import Transaction
from tests.store.scene import Scene, first, listed, rows_of


@pytest.mark.row("E-024", "E-028")
async def test_a_transaction_reads_its_own_writes_and_others_do_not(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, tags=["t"])
        async with db.transaction() as tx:
            await tx.entries.set("b", 2, tags=["t"])
            await tx.entries.modify("a", lambda value: value + 10)
            await tx.entries.set("gone", 1)
            await tx.entries.delete("gone")
            assert (await tx.entries.require("b")).value == 2
            assert (await tx.entries.require("a")).value == 11
            assert (await tx.entries.require("a")).metadata.version == 2
            assert not await tx.entries.has("gone")
            assert [str(key) for key in await listed(tx.entries.keys())] == ["a", "b"]
            assert await tx.entries.count() == 2
            assert [one.value for one in await listed(tx.entries.history("a"))] == [1]
            assert [str(one.key) for one in await listed(tx.entries.find_by_tag("t"))] == ["a", "b"]
            found = await tx.entries.get_many(["a", "b", "gone"])
            assert {str(key): one.value for key, one in found.items()} == {"a": 11, "b": 2}
            assert await db.entries.get("b") is None
            assert (await db.entries.require("a")).value == 1
            assert await db.entries.count() == 1
        assert (await db.entries.require("a")).value == 11
        assert (await db.entries.require("b")).value == 2


@pytest.mark.row("trap 43")
async def test_a_commit_is_one_revision(scene: Scene) -> None:
    async with scene.open() as db:
        before = await db.head()
        async with db.transaction() as tx:
            for n in range(20):
                await tx.entries.set(f"a:{n}", n, ttl=60, tags=["t"])
        assert await db.head() == before + 1
        assert tx.revision == db.revision == before + 1
        entries = await listed(db.entries.items())
        assert {entry.revision for entry in entries} == {before + 1}
        async with db.transaction() as tx:
            await tx.entries.get("a:1")
        assert tx.state == "committed"
        assert await db.head() == before + 1


@pytest.mark.row("E-026")
@pytest.mark.parametrize("how", ["rollback", "raise", "cancel", "conflict"])
async def test_a_rollback_leaves_the_database_as_it_was(scene: Scene, how: str) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, ttl=60, tags=["t"])
        rows, revision = await rows_of(db), db.revision

        async def work() -> None:
            async with db.transaction() as tx:
                await tx.entries.set("a", 2)
                await tx.entries.set("b", "x" * 600_000, tags=["u"])
                await tx.entries.delete("a")
                if how == "rollback":
                    await tx.rollback()
                elif how == "raise":
                    raise KeyError
                elif how == "cancel":
                    raise asyncio.CancelledError
                else:
                    await tx.entries.set("b", 1, if_absent=True)

        expected: dict[str, type[BaseException]] = {
            "raise": KeyError, "cancel": asyncio.CancelledError, "conflict": Conflict,
        }  # fmt: skip
        if how in expected:
            with pytest.raises(expected[how]):
                await work()
        else:
            await work()
        assert await rows_of(db) == rows
        assert db.revision == revision == await db.head()
        # What a rolled-back transaction would have been numbered is no position to resume from.
        await db.entries.set("after", 1)
        assert str((await first(db.watch(since=revision), 1))[0].key) == "after"


async def test_the_revision_of_a_handle_never_runs_ahead_of_the_database(scene: Scene) -> None:
    async with scene.open() as db:
        tx = await db.transaction().begin()
        await tx.entries.set("a", 1)
        assert db.revision == await db.head()
        await tx.rollback()
        assert db.revision == await db.head()


@pytest.mark.row("E-027", "E-006")
@pytest.mark.parametrize("end", ["commit", "rollback", "block", "failed block", "lost"])
async def test_over_is_over(scene: Scene, end: str) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        if end in ("commit", "rollback", "lost"):
            tx = await db.transaction().begin()
            assert (tx.state, tx.active) == ("active", True)
            entries = tx.entries
            if end == "commit":
                await tx.commit()
            elif end == "rollback":
                await tx.rollback()
            else:
                await tx.entries.modify("a", lambda value: value + 1)
                await db.entries.set("a", 5)
                with pytest.raises(Conflict):
                    await tx.commit()
        else:
            try:
                async with db.transaction() as tx:
                    entries = tx.entries
                    if end == "failed block":
                        raise KeyError
            except KeyError:
                assert end == "failed block"
        assert not tx.active
        assert tx.state == ("committed" if end in ("commit", "block") else "rolled_back")
        for use in (
            entries.get("a"), entries.get_many(["a"]), entries.has("a"), entries.set("a", 2),
            entries.delete("a"), entries.count(), entries.modify("a", str), listed(entries.keys()),
            listed(entries.history("a")), tx.commit(), tx.rollback(), tx.begin(),
        ):  # fmt: skip
            with pytest.raises(TransactionClosed):
                await use
        with pytest.raises(TransactionClosed):
            _ = tx.entries
        assert (await db.entries.require("a")).value in (1, 5)


@pytest.mark.row("E-006")
async def test_a_transaction_that_has_not_begun_cannot_be_used(scene: Scene) -> None:
    async with scene.open() as db:
        tx = db.transaction()
        assert (tx.state, tx.active) == ("new", False)
        with pytest.raises(TransactionClosed, match="new"):
            _ = tx.entries
        for use in (tx.commit(), tx.rollback()):
            with pytest.raises(TransactionClosed):
                await use
        await tx.begin()
        await tx.rollback()


async def test_an_end_by_hand_inside_the_block_is_the_end(scene: Scene) -> None:
    async with scene.open() as db:
        async with db.transaction() as tx:
            await tx.entries.set("a", 1)
            assert await tx.commit() == db.revision
        async with db.transaction() as tx:
            await tx.entries.set("a", 2)
            await tx.rollback()
        assert (await db.entries.require("a")).value == 1


@pytest.mark.row("E-023")
async def test_a_read_only_transaction_reads_one_moment_and_writes_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        async with db.transaction(read_only=True) as tx:
            await db.entries.set("a", 2)
            assert (await tx.entries.require("a")).value == 1
            for write in (
                tx.entries.set("a", 3), tx.entries.delete("a"), tx.entries.set_many({"b": 1}),
                tx.entries.modify("a", str), tx.entries.touch("a"), tx.entries.rename("a", "b"),
            ):  # fmt: skip
                with pytest.raises(ReadOnly):
                    await write
        assert (await db.entries.require("a")).value == 2


@pytest.mark.parametrize("level", ["", "SERIALIZABLE", "dirty", "none"])
async def test_an_unknown_level_is_refused_at_the_call(scene: Scene, level: str) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput, match="isolation"):
            db.transaction(level)  # type: ignore[arg-type]


async def test_conditions_hold_inside_a_transaction(scene: Scene) -> None:
    async with scene.open() as db:
        made = await db.entries.set("a", 1)
        async with db.transaction() as tx:
            mine = await tx.entries.set("a", 2, if_revision=made.revision)
            with pytest.raises(Conflict):
                await tx.entries.set("a", 3, if_revision=made.revision)
            with pytest.raises(InvalidInput):
                _ = mine.revision
            await tx.entries.set("a", 3, if_version=2)
            with pytest.raises(Conflict):
                await tx.entries.set("a", 4, if_absent=True)
        last = await db.entries.require("a")
        assert (last.value, mine.revision, mine.metadata.revision) == (3, tx.revision, tx.revision)
        assert last.revision == tx.revision


async def test_transact_runs_again_until_it_wins(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("n", 0)
        runs = 0

        async def increment(tx: Transaction) -> int:
            nonlocal runs
            runs += 1
            current: int = (await tx.entries.require("n")).value
            if runs == 1:
                await db.entries.set("n", 100)
            await tx.entries.set("n", current + 1)
            return current

        assert await db.transact(increment) == 100
        assert runs == 2
        assert (await db.entries.require("n")).value == 101


async def test_many_transacts_lose_no_update(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("n", 0)

        async def increment(tx: Transaction) -> None:
            await tx.entries.set("n", (await tx.entries.require("n")).value + 1)

        await asyncio.gather(*(db.transact(increment, retries=50) for _ in range(12)))
        assert (await db.entries.require("n")).value == 12


async def test_transact_gives_up_with_the_conflict_and_nothing_else_runs_again(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        await db.entries.set("n", 0)
        runs = 0

        async def losing(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await tx.entries.modify("n", lambda value: value + 1)
            await db.entries.modify("n", lambda value: value + 1000)

        with pytest.raises(Conflict):
            await db.transact(losing, retries=2)
        assert runs == 3
        assert (await db.entries.require("n")).value == 3000

        async def failing(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await tx.entries.set("x", 1)
            raise ZeroDivisionError

        runs = 0
        with pytest.raises(ZeroDivisionError):
            await db.transact(failing)
        assert runs == 1
        assert await db.entries.get("x") is None


@pytest.mark.parametrize("retries", [-1, True, 1.5, "1"])
async def test_a_number_of_retries_that_cannot_be_is_refused(scene: Scene, retries: Any) -> None:
    async with scene.open() as db:

        async def work(tx: Transaction) -> None:
            await tx.entries.set("a", 1)

        with pytest.raises(InvalidInput, match="retries"):
            await db.transact(work, retries=retries)
        assert await db.entries.get("a") is None


async def test_closing_the_handle_ends_its_transactions(scene: Scene) -> None:
    async with scene.open() as other:
        db = await scene.handle()
        tx = await db.transaction().begin()
        await tx.entries.set("a", 1)
        await db.close()
        with pytest.raises(StoreClosed):
            await tx.commit()
        with pytest.raises(StoreClosed):
            db.transaction()
        assert await other.entries.get("a") is None


# --- Against a model ------------------------------------------------------------------------

KEYS = [f"{space}:{name}" for space in ("a", "a/b", "c") for name in ("1", "2", "3")]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(KEYS), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("modify"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("many"), st.sampled_from(KEYS), st.integers(0, 9)),
    ),
    max_size=25,
)


def played(work: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work(Scene("memory", Path())))


def ordered(model: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(model.items(), key=lambda pair: StoreKey.parse(pair[0]).segments)


async def apply(entries: Any, model: dict[str, int], step: Any) -> None:
    act, key, number = step
    if act == "set":
        await entries.set(key, number)
        model[key] = number
    elif act == "delete":
        assert await entries.delete(key) is (model.pop(key, None) is not None)
    elif act == "modify":
        await entries.modify(key, lambda value: (value or 0) + 1)
        model[key] = model.get(key, 0) + 1
    else:
        await entries.set_many({f"{key}x": number, key: number})
        model.update({f"{key}x": number, key: number})


async def agrees(entries: Any, model: dict[str, int]) -> None:
    pairs = [(str(one.key), one.value) for one in await listed(entries.items())]
    assert pairs == ordered(model)
    backwards = [(str(one.key), one.value) for one in await listed(entries.items(reverse=True))]
    assert backwards == pairs[::-1]
    below = {key: value for key, value in model.items() if key.startswith(("a:", "a/"))}
    assert [str(key) for key in await listed(entries.keys("a/#"))] == [
        key for key, _ in ordered(below)
    ]
    assert await entries.count() == len(model)
    for key in KEYS:
        found = await entries.get(key)
        assert (None if found is None else found.value) == model.get(key)
        assert await entries.has(key) is (key in model)


@pytest.mark.row("E-030")
@settings(max_examples=40)
@given(before=STEPS, inside=STEPS, commits=st.booleans())
def test_scans_merge_what_is_pending_like_a_dict(
    before: list[Any], inside: list[Any], commits: bool
) -> None:
    async def work(scene: Scene) -> None:
        async with scene.open() as db:
            model: dict[str, int] = {}
            for step in before:
                await apply(db.entries, model, step)
            outside = dict(model)
            tx = await db.transaction().begin()
            for step in inside:
                await apply(tx.entries, model, step)
                await agrees(tx.entries, model)
            await agrees(db.entries, outside)
            if commits:
                await tx.commit()
                await agrees(db.entries, model)
            else:
                await tx.rollback()
                await agrees(db.entries, outside)

    played(work)


async def test_a_version_replaced_in_its_own_transaction_was_never_visible(scene: Scene) -> None:
    """Reading the past finds what stood there: a version no commit left behind is none of it."""
    async with scene.open() as db:
        first = await db.entries.set("key", 1)
        async with db.transaction() as transaction:
            other = await db.entries.set("other", 1)
            await transaction.entries.set("key", 2)
            await transaction.entries.set("key", 3)
        assert [await value_at(db, "key", at) for at in (first.revision, other.revision)] == [1, 1]
        assert await value_at(db, "key", transaction.revision) == 3
        past = [one async for one in db.entries.history("key")]
        assert [(one.value, one.revision, one.ended_at_revision) for one in past] == [
            (1, first.revision, transaction.revision),
            (2, transaction.revision, transaction.revision),
        ]
        assert await db.check() == []


async def value_at(db: Database, key: str, revision: int) -> object:
    entry = await db.entries.get(key, at=revision)
    return None if entry is None else entry.value


async def test_the_changes_of_a_transaction_carry_its_id(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("before", 1)
        async with db.transaction() as transaction:
            await transaction.entries.set("a", 1)
            await transaction.entries.delete("before")
            name = transaction.id
        await db.entries.set("after", 1)
        told = []
        async for change in db.watch(since=0):
            told.append((str(change.key), change.transaction_id))
            if change.key == "after":
                break
        assert told == [("before", None), ("a", name), ("before", name), ("after", None)]
