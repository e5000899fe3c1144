"""Versions of a store of kind `iavl`, through the database, on every engine."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.errors import Conflict, InvalidInput, Unsupported, VersionNotFound
from holdfast.stores.iavl import IavlTree
from holdfast.stores.ics23 import IAVL, proven_value
from holdfast.stores.versions import trees
from tests.store.scene import Scene, listed
from tests.stores.iavl.memory import MemoryRows


async def contents(store: Any) -> dict[bytes, bytes]:
    return dict(await listed(store.iterate()))


async def test_save_load_and_go_on(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        assert await store.list_versions() == []
        assert await store.current_version() == 0
        await store.set(b"a", b"1")
        await store.set(b"b", b"2")
        one = await store.save_version()
        assert (one.number, await store.list_versions(), await store.current_version()) == (
            1,
            [1],
            1,
        )
        await store.set(b"a", b"3")
        assert await store.delete(b"b")
        assert not await store.delete(b"b")
        await store.set(b"c", b"4")
        assert await contents(store) == {b"a": b"3", b"c": b"4"}
        two = await store.save_version()
        assert two.number == 2
        assert await contents(store) == {b"a": b"3", b"c": b"4"}
        await store.set(b"unsaved", b"x")
        loaded = await store.load_version(1)
        assert loaded == one
        assert await store.current_version() == 1
        assert await contents(store) == {b"a": b"1", b"b": b"2"}
        with pytest.raises(VersionNotFound):
            await store.load_version(99)
        assert await store.list_versions() == [1, 2]
        await store.set(b"d", b"5")
        three = await store.save_version()
        assert three.number == 3
        assert await contents(store) == {b"a": b"1", b"b": b"2", b"d": b"5"}
        async with await store.at_version(2) as saved:
            assert dict(await listed(saved.iterate())) == {b"a": b"3", b"c": b"4"}
            assert await saved.count() == 2
        assert [tuple(c) for c in await listed(store.diff(1, 3))] == [(b"d", None, b"5")]
        assert [tuple(c) for c in await listed(store.diff(2, 3))] == [
            (b"a", b"3", b"1"), (b"b", None, b"2"), (b"c", b"4", None), (b"d", None, b"5"),
        ]  # fmt: skip
        proof = await store.prove(b"a", 2)
        assert proven_value(IAVL, two.root, proof, b"a") == b"3"
        absent = await store.prove(b"zz", 3)
        assert proven_value(IAVL, three.root, absent, b"zz") is None
        assert await store.verify() > 0


async def test_the_root_is_that_of_the_same_operations_in_one_tree(scene: Scene) -> None:
    """The order of operations decides the root, and it is kept, whatever commits they came in."""
    rows = MemoryRows()
    tree = IavlTree(rows)
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        for version in range(3):
            for n in (5, 3, 9, 1, 7, 2, 8, 4, 6):
                key, value = b"%d" % ((n * 7 + version) % 11), b"%d" % (n + version)
                tree.set(key, value)
                await store.set(key, value)
            await store.set_many([(b"m%d" % n, b"v") for n in (9, 2, 5)])
            for n in (9, 2, 5):
                tree.set(b"m%d" % n, b"v")
            tree.remove(b"m2")
            assert await store.delete(b"m2")
            saved = await store.save_version()
            step = rows.save(tree)
            assert (saved.number, saved.root) == (step.version, step.root_hash)
        assert await contents(store) == dict(tree.items())


async def test_rollback_and_prune(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        for n in range(1, 6):
            await store.set(b"k", b"%d" % n)
            await store.set(b"k%d" % n, b"x")
            await store.save_version()
        await store.set(b"k", b"unsaved")
        with pytest.raises(InvalidInput):
            await store.prune(5)
        async with await store.at_version(1) as old:
            assert await store.prune(2) == 2
            assert await store.list_versions() == [3, 4, 5]
            if db.capabilities.snapshots:
                assert dict(await listed(old.iterate())) == {b"k": b"1", b"k1": b"x"}
        with pytest.raises(VersionNotFound):
            await store.at_version(1)
        assert await store.get(b"k") == b"unsaved"
        await store.rollback(4)
        assert await store.list_versions() == [3, 4]
        assert await store.get(b"k") == b"4"
        await store.set(b"k", b"again")
        assert (await store.save_version()).number == 5
        assert await store.get(b"k") == b"again"
        assert await store.get(b"k5", None) is None


async def test_transactions_and_versions(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        await store.set(b"a", b"1")
        await store.save_version()
        async with db.transaction() as tx:
            inside = await tx.stores.get("ledger")
            assert await inside.get(b"a") == b"1"
            await inside.set(b"b", b"2")
            assert await inside.delete(b"a")
            assert await contents(inside) == {b"b": b"2"}
            assert await contents(store) == {b"a": b"1"}
            with pytest.raises(Unsupported):
                await inside.save_version()
        assert await contents(store) == {b"b": b"2"}
        tx = await db.transaction().begin()
        inside = await tx.stores.get("ledger")
        await inside.set(b"c", await inside.get(b"b"))
        await store.set(b"b", b"faster")
        await store.save_version()
        with pytest.raises(Conflict):
            await tx.commit()
        async with await db.snapshot() as view:
            await store.set(b"b", b"later")
            await store.save_version()
            assert await (await view.stores.get("ledger")).get(b"b") == b"faster"
        with pytest.raises(Unsupported):
            await store.set(b"t", b"1", ttl=5)


async def test_a_diff_is_of_its_moment_whatever_is_saved_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nodes are read where they stand now; numbers that were given out anew deceive nobody."""
    monkeypatch.setattr(trees, "DIFF_PART", 3)
    async with scene.open() as db:
        store = await db.stores.create("t", "iavl")
        await store.set_many({b"%03d" % n: b"one" for n in range(120)})
        await store.save_version()
        changed = [b"%03d" % n for n in range(0, 120, 4)]
        await store.set_many(dict.fromkeys(changed, b"two"))
        await store.save_version()
        expected = [(key, b"one", b"two") for key in changed]
        assert [tuple(one) for one in await listed(store.diff(1, 2))] == expected
    async with scene.open() as db:  # With nothing in memory.
        store = await db.stores.open("t", "iavl")
        if scene.engine == "memory":
            return  # It went with the handle.
        walk = store.diff(1, 2)
        found = [tuple(await anext(walk))]
        await store.rollback(1)
        await store.set_many({b"%03d" % n: b"three" for n in range(0, 120, 3)})
        await store.set_many({b"x%03d" % n: b"more" for n in range(50)})
        assert (await store.save_version()).number == 2
        found += [tuple(one) async for one in walk]
        assert found == expected
        assert len(await listed(store.diff(1, 2))) == 90
