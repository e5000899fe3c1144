"""Named stores of plain bytes: in order, durable, told, in transactions with entries."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    InvalidKey,
    InvalidName,
    InvalidValue,
    KeyNotFound,
    ReadOnly,
    StoreExists,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.isolation import IsolationName
from holdfast.stores import verbs as store_module
from tests.store.scene import Scene, engine_of, first, listed, rows_of


async def test_bytes_come_back_in_order(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger")
        keys = [b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff", b"\0"]
        for key in keys:
            await store.set(key, b"value of " + key)
        assert await listed(store.iterate()) == [(k, b"value of " + k) for k in sorted(keys)]
        backwards = await listed(store.iterate(ascending=False))
        assert [key for key, _ in backwards] == sorted(keys, reverse=True)
        some = await listed(store.iterate_range(b"a", b"b"))
        assert [key for key, _ in some] == [b"a", b"a\0", b"ab"]
        assert [k for k, _ in await listed(store.iterate_range(b"a", limit=2))] == [b"a", b"a\0"]
        assert await listed(store.iterate_range(b"b", b"a")) == []
        assert await listed(store.iterate_range(limit=0)) == []
        assert await store.get(b"a") == b"value of a"
        assert await store.delete(b"a")
        assert not await store.delete(b"a")
        assert not await store.has(b"a")
        with pytest.raises(KeyNotFound):
            await store.get(b"a")
        assert await store.get(b"a", None) is None
        assert await store.get(b"a", b"other") == b"other"


async def test_empty_and_large_values(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        for value in (b"", b"\0" * 10, bytes(range(256)) * 4096):
            await store.set(b"k", value)
            assert await store.get(b"k") == value


async def test_stores_are_found_by_name_and_kept(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await (await db.stores.create("b")).set(b"k", b"1")
        await db.stores.create("a")
        with pytest.raises(StoreExists):
            await db.stores.create("a")
        assert await db.stores.list() == ["a", "b"]
        assert await db.stores.exists("a")
        assert not await db.stores.exists("c")
        with pytest.raises(StoreNotFound):
            await db.stores.get("c")
    async with kept_scene.open() as db:
        assert await (await db.stores.get("b")).get(b"k") == b"1"
    async with kept_scene.handle(f"{kept_scene.url}?read_only=true") as db:
        store = await db.stores.get("b")
        assert await store.get(b"k") == b"1"
        with pytest.raises(ReadOnly):
            await store.set(b"k", b"2")
        with pytest.raises(ReadOnly):
            await db.stores.create("new")


@pytest.mark.parametrize("name", ["", None, 5, b"a", "\ud800", "x" * 256], ids=ascii)
async def test_a_name_that_cannot_be_is_refused(scene: Scene, name: Any) -> None:
    async with scene.open() as db:
        before = await db.head()
        with pytest.raises(InvalidName):
            await db.stores.create(name)
        assert await db.head() == before


@pytest.mark.parametrize("key", ["a", b"", None, 5, bytearray(b"a"), b"x" * 4001], ids=ascii)
async def test_a_key_that_cannot_be_is_refused(scene: Scene, key: Any) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        before = await db.head()
        for call in (store.get, store.has, store.delete, lambda key: store.set(key, b"")):
            with pytest.raises(InvalidKey):
                await call(key)
        assert await db.head() == before


async def test_wrong_values_and_options_are_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "VALUE_BYTES_MAX", 10)
    async with scene.open() as db:
        store = await db.stores.create("s")
        before = await db.head()
        for value in ("text", None, 5, bytearray(11), memoryview(bytes(11)), b"x" * 11):
            with pytest.raises(InvalidValue):
                await store.set(b"k", value)  # type: ignore[arg-type]
        for ttl in (0, -1, "1", float("nan"), float("inf"), True):
            with pytest.raises(InvalidInput):
                await store.set(b"k", b"", ttl=ttl)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await listed(store.iterate_range(limit=-1))
        with pytest.raises(InvalidKey):
            await listed(store.iterate_range("a"))  # type: ignore[arg-type]
        assert await db.head() == before


@pytest.mark.row("E-010")
@pytest.mark.parametrize("kind", ["plain", "iavl"])
async def test_what_a_caller_does_to_his_buffer_later_changes_nothing(
    scene: Scene, kind: str
) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", config={"kind": kind})
        buffer = bytearray(b"was")
        await store.set(b"k", buffer)
        batch = store.batch()
        batch.set(b"b", memoryview(buffer)[::2])
        async with store.transaction() as tx:
            await tx.set(b"t", buffer)
            buffer[:] = b"now"
        await batch.commit()
        assert dict(await listed(store.iterate())) == {b"b": b"ws", b"k": b"was", b"t": b"was"}


async def test_values_expire_and_are_swept_and_told(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        start = await db.head()
        await store.set(b"k", b"1", ttl=10)
        await store.set(b"long", b"1", ttl=1000)
        await store.set(b"long", b"2")
        scene.clock.advance(9.9)
        assert await store.get(b"k") == b"1"
        scene.clock.advance(0.2)
        # Absent from every read at once, whether or not it was swept.
        assert not await store.has(b"k")
        assert await listed(store.iterate()) == [(b"long", b"2")]
        assert not await store.delete(b"k")
        await store.set(b"k", b"2", ttl=10)
        scene.clock.advance(11)
        assert await db.sweep() == 1
        assert await rows_of(db, Range.prefix(layout.EXPIRY)) == []
        changes = await first(db.watch("s:k", view="stores", since=start), 4)
        assert [(one.op, one.cause) for one in changes] == [
            ("set", "write"), ("delete", "expired"), ("set", "write"), ("delete", "expired"),
        ]  # fmt: skip


async def test_stores_and_entries_share_a_transaction(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        async with db.transaction() as tx:
            inside = await tx.stores.get("s")
            assert await inside.set(b"k", b"1") == 0
            assert max(db.revision, await db.head()) < 100
            await tx.entries.set("k", 1)
            assert await inside.get(b"k") == b"1"
            assert not await store.has(b"k")
            for call in (tx.stores.create("x"), tx.stores.delete("s")):
                with pytest.raises(Unsupported):
                    await call
        assert await store.get(b"k") == b"1"
        changes = await first(db.watch(view="*", since=tx.revision - 1), 2)
        assert {one.revision for one in changes} == {tx.revision}
        assert [(one.view, one.keyspace) for one in changes] == [
            ("stores", "s"), ("entries", "entries"),
        ]  # fmt: skip
        assert [one.last for one in changes] == [False, True]
        tx = await db.transaction().begin()
        inside = await tx.stores.get("s")
        seen = await inside.get(b"k")
        await store.set(b"k", b"faster")
        await inside.set(b"other", seen)
        with pytest.raises(Conflict):
            await tx.commit()
        assert not await store.has(b"other")
        async with await db.snapshot() as view:
            await store.set(b"k", b"later")
            assert await (await view.stores.get("s")).get(b"k") == b"faster"


async def test_changes_are_told_by_view(scene: Scene) -> None:
    async with scene.open() as db:
        one, two = await db.stores.create("one"), await db.stores.create("two")
        start = await db.head()
        await one.set(b"a", b"1", modified_by="ada", comment="why")
        await db.entries.set("a", 1)
        await two.set(b"\xff", b"2")
        await one.delete(b"a")
        seen = await first(db.watch(view="stores", since=start), 3)
        assert [(c.keyspace, c.key, c.op) for c in seen] == [
            ("one", b"a", "set"), ("two", b"\xff", "set"), ("one", b"a", "delete"),
        ]  # fmt: skip
        assert (seen[0].modified_by, seen[0].comment) == ("ada", "why")
        assert seen[1].after == b"2"
        only = await first(db.watch("two/#", view="stores", since=start), 1)
        assert [c.keyspace for c in only] == ["two"]
        # Without a view it stays with entries.
        assert [str(c.key) for c in await first(db.watch(since=start), 1)] == ["a"]
        stands = await first(db.watch(view="stores", snapshot=True), 2)
        assert [(c.op, c.key) for c in stands] == [("set", b"\xff"), ("snapshot_end", None)]


async def test_a_dropped_store_is_gone_for_everybody(kept_scene: Scene) -> None:
    async with kept_scene.open() as db, kept_scene.open() as other:
        store = await db.stores.create("s")
        for n in range(60):
            await store.set(b"%d" % n, b"x", ttl=100 if n % 2 else None)
        theirs = await other.stores.get("s")
        start = await db.head()
        async with db.watch(view="stores", since=start) as watch:
            await other.stores.delete("s")
            change = await anext(watch)
            assert (change.op, change.keyspace, change.key) == ("drop", "s", None)
        for gone in (store, theirs):
            with pytest.raises(StoreNotFound):
                await gone.set(b"k", b"v")
        with pytest.raises(StoreNotFound):
            await db.stores.delete("s")
        assert await db.stores.list() == []
        again = await db.stores.create("s")
        assert await listed(again.iterate()) == []
        with pytest.raises(StoreNotFound):
            await store.set(b"k", b"v")
        await again.set(b"k", b"v")
        scene_rows = await rows_of(db, Range.prefix(layout.EXPIRY))
        assert scene_rows == [], "expiry rows go with their values"


@pytest.mark.parametrize("level", ["read_committed", "repeatable_read", "serializable"])
async def test_a_store_dropped_under_a_transaction_refuses_its_commit(
    scene: Scene, level: IsolationName
) -> None:
    async with scene.open() as db:
        await db.stores.create("s")
        tx = await db.transaction(level).begin()
        inside = await tx.stores.get("s")
        await inside.set(b"k", b"v")
        await db.stores.delete("s")
        with pytest.raises((StoreNotFound, Conflict)):
            await tx.commit()
        prefix = layout.KEYSPACE
        numbers = {layout.keyspace_of(key) for key, _ in await rows_of(db, Range.prefix(prefix))}
        assert len(numbers) == 0


async def test_a_drop_that_was_broken_off_is_finished(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        store = await db.stores.create("s")
        for n in range(10):
            await store.set(b"%d" % n, b"x")
        keyspaces = db._require_shared().keyspaces
        clear = keyspaces.clear

        async def broken(_keyspace: Any) -> None:
            raise InterruptedError

        keyspaces.clear = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(InterruptedError):
            await db.stores.delete("s")
        keyspaces.clear = clear  # type: ignore[method-assign]
        assert not await db.stores.exists("s")
        await db._require_shared()._finish_drops()
        assert await rows_of(db, Range.prefix(layout.KEYSPACE)) == []
        assert await db.check() == []


async def test_damage_is_found(scene: Scene) -> None:
    from holdfast.contract.batch import Batch, Delete, Put

    async with scene.open_unchecked() as db:
        store = await db.stores.create("s")
        await store.set(b"k", b"v", ttl=100)
        assert await db.check() == []
        [(expiry, _)] = await rows_of(db, Range.prefix(layout.EXPIRY))
        [(row, record)] = await rows_of(db, Range.prefix(layout.KEYSPACE))
        for damage, told in (
            (Delete(expiry), "expiry"),
            (Put(row, b"\x01\0"), "row"),
            (Put(row, b"\x82\0"), "row"),
            (Put(row, b""), "row"),
        ):
            await engine_of(db).commit(Batch([damage]))
            assert any(told in fault for fault in await db.check()), damage
            await engine_of(db).commit(Batch([Put(row, record.value), Put(expiry, b"")]))
        assert await db.check() == []
