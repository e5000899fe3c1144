"""Time-to-live: every read path agrees at once, the change is told, and no byte stays."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import KEEP, Conflict, StoreKey
from holdfast.contract.errors import InvalidInput
from holdfast.database.handle import Database
from holdfast.store import layout
from holdfast.store.durations import TTL_MAX_S
from tests.store.scene import Scene, first, listed, rows_of


def at(scene: Scene, seconds: float) -> datetime:
    return datetime.fromtimestamp(scene.clock.now_ms() / 1000, UTC) + timedelta(seconds=seconds)


async def expiry(db: Database, key: str) -> datetime | None:
    return (await db.entries.require(key)).metadata.expires_at


async def by_transaction(db: Database) -> bool:
    async with db.transaction() as tx:
        return await tx.entries.get("a:gone") is not None or await tx.entries.count() > 1


async def by_snapshot(db: Database) -> bool:
    async with await db.snapshot() as view:
        return await view.entries.has("a:gone") or await view.entries.count() > 1


async def by_watched_snapshot(db: Database) -> bool:
    async with db.watch("a/#", snapshot=True) as changes:
        told = []
        async for change in changes:
            if change.op == "snapshot_end":
                return "a:gone" in told
            told.append(str(change.key))
    raise AssertionError("a snapshot ends with its marker")


async def by_if_absent(db: Database) -> bool:
    async with db.transaction() as tx:  # rolled back: the next path finds what this one found
        try:
            await tx.entries.set("a:gone", 2, if_absent=True)
        except Conflict:
            return True
        finally:
            await tx.rollback()
        return False


async def by_modify(db: Database) -> bool:
    async with db.transaction() as tx:
        entry = await tx.entries.modify("a:gone", lambda value: [value])
        await tx.rollback()
    return bool(entry.value == [1])


async def _exists(found: Awaitable[Any]) -> bool:
    return await found is not None


async def _true(found: Awaitable[Any]) -> bool:
    return bool(await found)


async def _more_than_one(found: Awaitable[int]) -> bool:
    return await found > 1


async def _holds(found: Any, key: str) -> bool:
    return key in [str(getattr(one, "key", one)) for one in await listed(found)]


async def _living_version(db: Database) -> bool:
    return await db.entries.get("a:gone", version=1) is not None


async def _touched(db: Database) -> bool:
    async with db.transaction() as tx:
        found = await tx.entries.touch("a:gone")
        await tx.rollback()
    return found is not None


READ_PATHS: dict[str, Callable[[Database], Awaitable[bool]]] = {
    "get": lambda db: _exists(db.entries.get("a:gone")),
    "get_many": lambda db: _true(db.entries.get_many(["a:gone"])),
    "has": lambda db: db.entries.has("a:gone"),
    "keys": lambda db: _holds(db.entries.keys(), "a:gone"),
    "keys by name": lambda db: _holds(db.entries.keys("a/gone"), "a:gone"),
    "keys backwards": lambda db: _holds(db.entries.keys(reverse=True), "a:gone"),
    "items": lambda db: _holds(db.entries.items("a/+"), "a:gone"),
    "count": lambda db: _more_than_one(db.entries.count("a/#")),
    "find_by_tag": lambda db: _holds(db.entries.find_by_tag("t"), "a:gone"),
    "version": _living_version,
    "transaction": by_transaction,
    "snapshot": by_snapshot,
    "watch snapshot": by_watched_snapshot,
    "if_absent": by_if_absent,
    "modify": by_modify,
    "touch": _touched,
}


@pytest.mark.row("K-016", "K-046", "trap 20")
@pytest.mark.parametrize("swept", [False, True], ids=["unswept", "swept"])
async def test_all_read_paths_agree_at_the_same_millisecond(scene: Scene, swept: bool) -> None:
    async with scene.open() as db:
        await db.entries.set("a:gone", 1, ttl=0.05, tags=["t"])
        await db.entries.set("a:stays", 1, tags=["t"])
        scene.clock.advance(0.049)
        seen = {name: await path(db) for name, path in READ_PATHS.items()}
        assert seen == dict.fromkeys(READ_PATHS, True)
        scene.clock.advance(0.001)
        if swept:
            assert await db.sweep() == 1
        seen = {name: await path(db) for name, path in READ_PATHS.items()}
        # A past version may be read for good: that is what history is for.
        assert seen.pop("version")
        assert not any(seen.values()), seen


@pytest.mark.row("trap 20")
async def test_a_snapshot_taken_before_does_not_show_what_has_expired_since(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a:gone", 1, ttl=1)
        async with await db.snapshot() as view:
            assert await view.entries.has("a:gone")
            scene.clock.advance(1)
            assert not await view.entries.has("a:gone")
            assert await listed(view.entries.keys()) == []


@pytest.mark.row("trap 21", "K-121")
async def test_a_plain_set_clears_the_expiry(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, ttl=1)
        await db.entries.set("a", 2)
        assert await expiry(db, "a") is None
        scene.clock.advance(2)
        assert await db.sweep() == 0
        assert (await db.entries.require("a")).value == 2
        assert not [key for key, _ in await rows_of(db) if key.startswith(layout.EXPIRY)]


@pytest.mark.row("K-121")
async def test_what_each_write_does_to_the_expiry(scene: Scene) -> None:
    async with scene.open() as db:
        then = at(scene, 60)
        await db.entries.set("a", 1, ttl=60)
        assert await expiry(db, "a") == then
        scene.clock.advance(1)
        await db.entries.set("a", 2, ttl=KEEP)
        assert await expiry(db, "a") == then
        await db.entries.modify("a", lambda value: value + 1)
        assert await expiry(db, "a") == then
        await db.entries.touch("a")
        assert await expiry(db, "a") == then
        await db.entries.modify("a", lambda value: value + 1, ttl=None)
        assert await expiry(db, "a") is None
        await db.entries.modify("a", lambda value: value + 1, ttl=timedelta(minutes=1))
        assert await expiry(db, "a") == at(scene, 60)
        await db.entries.set("a", 9, expires_at=at(scene, 5))
        assert await expiry(db, "a") == at(scene, 5)
        await db.entries.set("new", 1, ttl=KEEP)
        assert await expiry(db, "new") is None
        await db.entries.modify("newer", lambda value: 1)
        assert await expiry(db, "newer") is None


async def test_what_comes_back_comes_back_without_expiry(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, ttl=60)
        await db.entries.set("a", 2, ttl=60)
        restored = await db.entries.restore("a", 1)
        assert (restored.value, restored.metadata.expires_at) == (1, None)
        await db.entries.set("b", 1, ttl=1, tags=["t"])
        scene.clock.advance(1)
        back = await db.entries.undelete("b")
        assert (back.value, back.metadata.expires_at) == (1, None)
        assert (back.metadata.incarnation, back.metadata.version) == (2, 1)
        assert back.metadata.tags == ["t"]


@pytest.mark.row("K-046")
@pytest.mark.parametrize("swept", [False, True], ids=["unswept", "swept"])
async def test_a_set_after_the_expiry_begins_a_new_life(scene: Scene, swept: bool) -> None:
    async with scene.open() as db:
        first_life = await db.entries.set("a", 1, ttl=1, tags=["t"], comment="c")
        scene.clock.advance(1)
        if swept:
            await db.sweep()
        second = await db.entries.set("a", 2)
        assert (second.metadata.version, second.metadata.incarnation) == (1, 2)
        assert second.metadata.tags == []
        assert second.metadata.expires_at is None
        assert second.metadata.identity == first_life.metadata.identity
        assert second.metadata.created_at == at(scene, 0)
        [past] = await listed(db.entries.history("a"))
        assert (past.value, past.end_cause) == (1, "expired")
        assert await db.entries.get("a", version=(1, 1)) == past


@pytest.mark.row("trap 20", "K-016")
async def test_the_expiry_is_one_change_with_its_cause(scene: Scene) -> None:
    async with scene.open() as db:
        start = await db.head()
        await db.entries.set("a:b", 1, ttl=1, modified_by="ada")
        scene.clock.advance(1)
        assert await db.sweep() == 1
        assert await db.sweep() == 0
        made, ended = await first(db.watch("a/#", since=start), 2)
        assert (made.op, made.cause, made.modified_by) == ("set", "write", "ada")
        assert (ended.op, ended.cause, ended.modified_by) == ("delete", "expired", None)
        assert ended.key == StoreKey.parse("a:b")
        assert (ended.before.value, ended.after) == (1, None)
        assert await db.head() == ended.revision


@pytest.mark.row("trap 20")
async def test_a_write_over_an_expired_entry_tells_both_changes_in_one_commit(scene: Scene) -> None:
    async with scene.open() as db:
        start = await db.head()
        await db.entries.set("a", 1, ttl=1)
        scene.clock.advance(1)
        await db.entries.set("a", 2)
        await db.entries.set("b", 1, ttl=1)
        scene.clock.advance(1)
        assert await db.entries.delete("b") is False
        changes = await first(db.watch(since=start), 5)
        told = [(str(one.key), one.op, one.cause, one.index) for one in changes]
        assert told == [
            ("a", "set", "write", 0), ("a", "delete", "expired", 0), ("a", "set", "write", 1),
            ("b", "set", "write", 0), ("b", "delete", "expired", 0),
        ]  # fmt: skip
        assert changes[1].revision == changes[2].revision
        assert changes[2].before is None
        assert await db.sweep() == 0


@pytest.mark.row("K-016", "trap 20")
async def test_after_the_sweep_the_engine_holds_no_living_byte_of_it(scene: Scene) -> None:
    marker = "unmistakable-value"
    async with scene.open() as db:
        await db.entries.set("a:b", marker, ttl=1, tags=["t"])
        await db.entries.set("a:big", "x" * 600_000 + marker, ttl=1)
        scene.clock.advance(1)
        assert await db.sweep() == 2
        number = layout.region(1, layout.DATA)
        left = await rows_of(db)
        assert not [key for key, _ in left if key.startswith((layout.EXPIRY, number))]
        living = [
            key for key, _ in left if key[3:4] in (layout.DATA, layout.TAG) and key[:1] == b"K"
        ]
        assert living == []
        # What remains of the value is its past version, which history tells and retention ends.
        assert [one.value for one in await listed(db.entries.history("a:b"))] == [marker]


async def test_the_sweep_ends_more_than_fits_one_commit_and_nothing_else(scene: Scene) -> None:
    async with scene.open() as db:
        for start in range(0, 600, 200):
            await db.entries.set_many({f"a:{n}": n for n in range(start, start + 200)}, ttl=1)
        await db.entries.set_many({f"b:{n}": n for n in range(10)}, ttl=2)
        scene.clock.advance(1)
        assert await db.sweep() == 600
        assert await db.entries.count() == 10
        assert await db.entries.count("b/#") == 10


async def test_an_expiry_moved_by_a_later_write_is_the_one_that_counts(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, ttl=1)
        await db.entries.set("a", 2, ttl=10)
        scene.clock.advance(5)
        assert await db.sweep() == 0
        assert await db.entries.has("a")
        await db.entries.set("a", 3, ttl=1)
        scene.clock.advance(1)
        assert not await db.entries.has("a")
        assert await db.sweep() == 1


@pytest.mark.row("K-016")
async def test_expiry_survives_a_reopening(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("a", 1, ttl=10)
        await db.entries.set("b", 1, ttl=1)
    kept_scene.clock.advance(1)
    async with kept_scene.open() as db:
        assert [str(key) for key in await listed(db.entries.keys())] == ["a"]
        assert await db.sweep() == 1
        kept_scene.clock.advance(9)
        assert await db.entries.count() == 0


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0}, {"ttl": -1}, {"ttl": 0.0}, {"ttl": float("nan")}, {"ttl": float("inf")},
        {"ttl": -float("inf")}, {"ttl": TTL_MAX_S + 1}, {"ttl": timedelta(0)},
        {"ttl": timedelta(seconds=-1)}, {"ttl": True}, {"ttl": "60"}, {"ttl": [1]},
        {"expires_at": 5}, {"expires_at": datetime(2050, 1, 1)},  # noqa: DTZ001
        {"expires_at": datetime(1960, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(2001, 1, 1, tzinfo=UTC)},
        {"ttl": 1, "expires_at": datetime(2050, 1, 1, tzinfo=UTC)},
        {"ttl": KEEP, "expires_at": datetime(2050, 1, 1, tzinfo=UTC)},
    ],
    ids=repr,
)  # fmt: skip
async def test_a_lifetime_that_cannot_be_is_refused_and_nothing_written(
    scene: Scene, options: dict[str, Any]
) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        before = await db.head()
        for write in (
            db.entries.set("a", 2, **options),
            db.entries.set("new", 2, **options),
            db.entries.set_many({"a": 2, "new": 2}, **options),
        ):
            with pytest.raises(InvalidInput):
                await write
        assert await db.head() == before
        assert (await db.entries.require("a")).value == 1


async def test_the_shortest_lifetime_is_a_millisecond(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, ttl=1e-9)
        assert await db.entries.has("a")
        scene.clock.advance(0.001)
        assert not await db.entries.has("a")
