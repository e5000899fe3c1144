"""Scopes of a database: entries, changes and locks below segments; and limits of watches."""

from typing import Any

import pytest

from holdfast import Pattern, StoreKey
from holdfast.contract.errors import (
    DeadlockDetected,
    InvalidInput,
    InvalidName,
    StoreClosed,
    StoreNotFound,
)
from tests.store.scene import Scene, engine_of, first, listed


async def test_a_user_named_plus_sees_and_hears_of_their_own_keys_alone(scene: Scene) -> None:
    async with scene.open() as db:
        begin = db.cursor
        user, other = db.scope("users", "+"), db.scope("users", "ada")
        await other.entries.set("a", "not for +")
        await user.entries.set("a", 1)
        await db.entries.set(StoreKey("+", ("users",)), "beside")
        await user.entries.set("b", 2)
        assert [str(key) async for key in user.entries.keys("#")] == ["a", "b"]
        for pattern in ("#", Pattern.glob("*")):
            seen = await first(user.watch(pattern, since=begin), 2)
            assert [(str(one.key), one.after.value) for one in seen] == [("a", 1), ("b", 2)]
        assert [str(one.key) for one in await first(user.watch("b", since=begin), 1)] == ["b"]
        rest = await first(user.watch(since=seen[0].cursor), 1)
        assert str(rest[0].key) == "b"
        standing = await first(user.watch(snapshot=True), 3)
        assert [one.op for one in standing] == ["set", "set", "snapshot_end"]
        assert str(standing[0].key) == "a"


async def test_scopes_nest_and_have_locks_of_their_own(scene: Scene) -> None:
    async with scene.open() as db:
        inner = db.scope("tenants", "a/b").scope("users", "+")
        assert inner.segments == ("tenants", "a/b", "users", "+")
        await inner.entries.set("x", 1)
        assert [str(one.key) async for one in db.scope("tenants", "a/b").entries.items()] == [
            "users/+:x"
        ]
        async with inner.lock() as whole, inner.lock("carts/open") as part:
            assert whole.namespace == "tenants/a%2Fb/users/+"
            assert part.namespace == "tenants/a%2Fb/users/+/carts/open"
            with pytest.raises(DeadlockDetected):
                async with db.lock("tenants/a%2Fb/users/+"):
                    pass
    with pytest.raises(StoreClosed):
        db.scope("a")


async def test_stores_and_collections_have_scopes_too(scene: Scene) -> None:
    async with scene.open() as db:
        ledger = await db.stores.create("ledger")
        for name in ("+", "a/b", "a"):
            mine = db.scope("users", name)
            await (await mine.store("ledger")).set(b"total", name.encode())
            await mine.collection("notes").set("1", {"of": name})
        for name in ("+", "a/b", "a"):
            mine = db.scope("users", name)
            store = await mine.store("ledger")
            assert [pair async for pair in store.iterate()] == [(b"total", name.encode())]
            notes = mine.collection("notes")
            assert (await notes.require("1"))["of"] == name
            assert await notes.count() == 1
        assert await ledger.count() == 3
        assert await db.collection("users/a%2Fb/notes").count() == 1
        with pytest.raises(StoreNotFound):
            await db.scope("users", "a").store("none")
        with pytest.raises(InvalidName):
            db.scope("users", "a").collection("")


async def test_a_watch_with_a_limit_reads_a_page_of_that_size_and_ends(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        begin = db.cursor
        await db.entries.set_many({f"n:{number:03}": number for number in range(100)})
        await db.entries.set("m", 1)
        limits: list[int | None] = []
        engine = engine_of(db)
        scan = engine.scan

        async def counted(range: Any, **options: Any) -> Any:
            limits.append(range.limit)
            return await scan(range, **options)

        monkeypatch.setattr(engine, "scan", counted)
        found: list[Any] = []
        since: Any = begin
        for expected in [40, 40, 20]:
            page = [one async for one in db.watch("n:+", since=since, limit=expected)]
            assert len(page) == expected
            found += page
            since = page[-1].cursor
        assert [one.after.value for one in found] == list(range(100))
        assert limits[0] == 41
        limits.clear()
        # Others' changes stand in between: the pages grow.
        assert [str(one.key) async for one in db.watch("m", since=begin, limit=1)] == ["m"]
        assert limits == [2, 8, 32, 128]
        assert len(await listed(db.watch("n/#", snapshot=True, limit=7))) == 7
        watch = db.watch("n:+", since=begin, limit=1)
        assert await watch.poll(5) is not None
        assert await watch.poll(5) is None
        for limit in (0, -1, True, "5"):
            with pytest.raises(InvalidInput, match="limit is a number of changes"):
                db.watch(limit=limit)  # type: ignore[arg-type]
