"""Isolation by the names of the anomalies: which level shows which, and which refuses it.

Each anomaly is played by two transactions whose steps interleave as in its textbook form. The
outcome is `seen` when the anomaly happened, `refused` when a commit conflicted, and `prevented`
when both committed and it did not happen.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from holdfast import Conflict
from holdfast.database.handle import Database
from holdfast.database.transaction import Transaction
from holdfast.store.isolation import IsolationName
from tests.store.scene import Scene, listed

Outcome = Literal["seen", "refused", "prevented"]
WEAK = ("read_uncommitted", "read_committed")
STRONG = ("repeatable_read", "snapshot", "serializable")
LEVELS = (*WEAK, *STRONG)


async def value(view: Any, key: str) -> Any:
    entry = await view.entries.get(key)
    return None if entry is None else entry.value


async def both_commit(one: Transaction, other: Transaction) -> bool:
    """Whether both can commit, the first one first."""
    await one.commit()
    try:
        await other.commit()
    except Conflict:
        return False
    return True


async def pair(db: Database, level: IsolationName) -> tuple[Transaction, Transaction]:
    return await db.transaction(level).begin(), await db.transaction(level).begin()


async def dirty_read(db: Database, level: IsolationName) -> Outcome:
    await db.entries.set("x", 1)
    one, other = await pair(db, level)
    await one.entries.set("x", 2)
    seen = await value(other, "x"), await value(db, "x")
    await one.rollback()
    await other.rollback()
    return "prevented" if seen == (1, 1) else "seen"


async def aborted_read(db: Database, level: IsolationName) -> Outcome:
    one, other = await pair(db, level)
    await one.entries.set("x", 2)
    await one.rollback()
    seen = await value(other, "x")
    await other.rollback()
    return "prevented" if seen is None else "seen"


async def non_repeatable_read(db: Database, level: IsolationName) -> Outcome:
    await db.entries.set("x", 1)
    reader = await db.transaction(level).begin()
    before = await value(reader, "x")
    await db.entries.set("x", 2)
    after = await value(reader, "x")
    await reader.commit()
    return "prevented" if before == after == 1 else "seen"


async def read_skew(db: Database, level: IsolationName) -> Outcome:
    await db.entries.set_many({"x": 1, "y": 1})
    reader = await db.transaction(level).begin()
    x = await value(reader, "x")
    await db.entries.set_many({"x": 2, "y": 2})
    y = await value(reader, "y")
    await reader.commit()
    return "prevented" if x == y else "seen"


async def lost_update(db: Database, level: IsolationName) -> Outcome:
    await db.entries.set("x", 10)
    one, other = await pair(db, level)
    mine, theirs = await value(one, "x"), await value(other, "x")
    await one.entries.set("x", mine + 1)
    await other.entries.set("x", theirs + 1)
    if not await both_commit(one, other):
        return "refused"
    return "prevented" if await value(db, "x") == 12 else "seen"


async def write_skew(db: Database, level: IsolationName) -> Outcome:
    await db.entries.set_many({"x": 1, "y": 1})
    one, other = await pair(db, level)
    for tx in (one, other):
        assert await value(tx, "x") + await value(tx, "y") == 2
    await one.entries.set("x", 0)
    await other.entries.set("y", 0)
    if not await both_commit(one, other):
        return "refused"
    return "seen"


async def write_skew_on_absence(db: Database, level: IsolationName) -> Outcome:
    one, other = await pair(db, level)
    assert await value(one, "y") is None
    assert await value(other, "x") is None
    await one.entries.set("x", 1)
    await other.entries.set("y", 1)
    return "seen" if await both_commit(one, other) else "refused"


def phantom(
    change: Callable[[Database], Awaitable[Any]],
) -> Callable[[Database, IsolationName], Awaitable[Outcome]]:
    """A row comes or goes between a listing and the commit of what was decided by it."""

    async def play(db: Database, level: IsolationName) -> Outcome:
        await db.entries.set_many({"p:1": 1, "p:3": 1})
        tx = await db.transaction(level).begin()
        counted = await tx.entries.count("p/#")
        await change(db)
        await tx.entries.set("total", counted)
        try:
            await tx.commit()
        except Conflict:
            return "refused"
        return "seen"

    return play


async def _delete_and_insert(db: Database) -> None:
    await db.entries.delete("p:1")
    await db.entries.set("p:2", 1)


async def _insert_and_delete(db: Database) -> None:
    await db.entries.set("p:2", 1)
    await db.entries.delete("p:2")


def by_level(weak: Outcome, strong: Outcome, serializable: Outcome) -> tuple[Outcome, ...]:
    """Outcomes in the order of the levels."""
    return (weak, weak, strong, strong, serializable)


Anomaly = Callable[[Database, IsolationName], Awaitable[Outcome]]
ANOMALIES: dict[str, tuple[Anomaly, tuple[Outcome, ...]]] = {
    "dirty read (G1b)": (dirty_read, by_level("prevented", "prevented", "prevented")),
    "aborted read (G1a)": (aborted_read, by_level("prevented", "prevented", "prevented")),
    "non-repeatable read (P2)": (non_repeatable_read, by_level("seen", "prevented", "prevented")),
    "read skew (G-single)": (read_skew, by_level("seen", "prevented", "prevented")),
    "lost update (P4)": (lost_update, by_level("refused", "refused", "refused")),
    "write skew (G2-item)": (write_skew, by_level("seen", "seen", "refused")),
    "write skew on absence (G2-item)": (write_skew_on_absence, by_level("seen", "seen", "refused")),
    "phantom by insert (G2)": (
        phantom(lambda db: db.entries.set("p:2", 1)), by_level("seen", "seen", "refused"),
    ),
    "phantom by insert at the end (G2)": (
        phantom(lambda db: db.entries.set("p:9", 1)), by_level("seen", "seen", "refused"),
    ),
    "phantom by delete (G2)": (
        phantom(lambda db: db.entries.delete("p:1")), by_level("seen", "seen", "refused"),
    ),
    "phantom by delete and insert (G2)": (
        phantom(_delete_and_insert), by_level("seen", "seen", "refused"),
    ),
}  # fmt: skip


@pytest.mark.row("trap 29", "trap 30", "E-028", "E-029")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("anomaly", ANOMALIES)
async def test_each_level_allows_just_its_anomalies(
    scene: Scene, anomaly: str, level: IsolationName
) -> None:
    play, outcomes = ANOMALIES[anomaly]
    async with scene.open() as db:
        assert await play(db, level) == outcomes[LEVELS.index(level)]


async def test_a_phantom_that_is_gone_again_harms_nobody(scene: Scene) -> None:
    async with scene.open() as db:
        # Nothing of it is left to contradict what was read: the same keys, none of them newer.
        assert await phantom(_insert_and_delete)(db, "serializable") == "seen"
        assert await value(db, "total") == 2
        assert await db.entries.count("p/#") == 2


@pytest.mark.row("trap 29")
async def test_a_write_elsewhere_is_no_phantom(scene: Scene) -> None:
    async with scene.open() as db:
        play = phantom(lambda handle: handle.entries.set("q:1", 1))
        assert await play(db, "serializable") == "seen"
        assert await value(db, "total") == 2


async def test_the_bounds_of_a_paged_listing_are_checked_too(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"p:{n:05}": n for n in range(0, 4000, 2)})
        for late in ("p:00001", "p:02001", "p:03999", "p:00000"):
            tx = await db.transaction().begin()
            keys = await listed(tx.entries.keys("p/#", reverse=late > "p:02"))
            await db.entries.set(late, -1)
            await tx.entries.set("total", len(keys))
            with pytest.raises(Conflict):
                await tx.commit()
        tx = await db.transaction().begin()
        # Only what was walked is checked: the walk ended before the other end.
        async for key in tx.entries.keys("p/#"):
            assert str(key) == "p:00000"
            break
        await db.entries.set("p:03999", -2)
        await tx.entries.set("total", 1)
        await tx.commit()


async def test_blind_writes_to_other_keys_do_not_conflict(scene: Scene) -> None:
    async with scene.open() as db:
        one, other = await pair(db, "serializable")
        await one.entries.set("a", 1)
        await other.entries.set("b", 2)
        assert await both_commit(one, other)
        assert (await value(db, "a"), await value(db, "b")) == (1, 2)


async def test_of_two_transactions_on_one_key_the_second_is_refused_whole(scene: Scene) -> None:
    async with scene.open() as db:
        one, other = await pair(db, "snapshot")
        await one.entries.set("a", 1)
        await other.entries.set("a", 2)
        await other.entries.set("b", 2)
        before = await db.head()
        assert not await both_commit(one, other)
        assert (await value(db, "a"), await value(db, "b")) == (1, None)
        assert await db.head() == before + 1


async def test_a_delete_that_others_made_conflicts(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        tx = await db.transaction("snapshot").begin()
        await tx.entries.modify("a", lambda v: v + 1)
        await db.entries.delete("a")
        await db.entries.set("a", 1)
        with pytest.raises(Conflict):
            await tx.commit()
        assert (await db.entries.require("a")).metadata.version == 1
