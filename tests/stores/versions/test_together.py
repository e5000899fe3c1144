"""Versions of all stores: one hash over all, healed after a crash between."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.errors import StoreNotFound, Unsupported, VersionNotFound
from holdfast.stores.ics23 import TENDERMINT, proven_value, proven_value_in
from holdfast.stores.versions import staging
from holdfast.stores.versions.together import Together
from tests.store.scene import Scene


async def test_one_hash_over_all_stores(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(StoreNotFound):
            await db.stores.save_version()
        a = await db.stores.create("a", kind="iavl")
        b = await db.stores.create("b", kind="iavl")
        await a.set(b"k", b"1")
        await b.set(b"k", b"2")
        head = await db.head()
        one = await db.stores.save_version()
        assert await db.head() == head + 1, "all in one commit"
        await b.set(b"k", b"3")
        two = await db.stores.save_version()
        assert (one.number, two.number) == (1, 2)
        assert await db.stores.list_versions() == [1, 2]
        assert await db.stores.root(1) == one
        assert one.root != two.root
        for saved, value in ((one, b"2"), (two, b"3")):
            proof = await db.stores.prove("b", b"k", saved.number)
            assert proof.root == saved.root
            found = proven_value_in(saved.root, "b", proof.store_proof, proof.key_proof, b"k")
            assert found == value
        with pytest.raises(VersionNotFound):
            await db.stores.root(3)
        async with db.transaction() as tx:
            with pytest.raises(Unsupported):
                await tx.stores.save_version()


async def test_plain_stores_are_part_of_it(scene: Scene) -> None:
    async with scene.open() as db:
        plain = await db.stores.create("plain")
        await plain.set(b"k", b"1")
        await (await db.stores.create("tree", kind="iavl")).set(b"k", b"2")
        saved = await db.stores.save_version()
        assert [(one.name, one.kind, one.version) for one in saved.stores] == [
            ("plain", "plain", 1), ("tree", "iavl", 1),
        ]  # fmt: skip
        proof = await db.stores.prove("plain", b"k")
        assert proven_value(TENDERMINT, saved.root, proof.store_proof, b"plain") == proof.store_root
        assert (await plain.root()).root == proof.store_root


async def test_a_crash_between_stores_is_healed(
    kept_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "ROWS_MAX", 2)  # so that each store is saved by itself
    for fails_at in range(1, 12):
        await _crash_and_heal(kept_scene, fails_at)


async def _crash_and_heal(kept_scene: Scene, fails_at: int) -> None:
    names = ("a", "b", "c")
    value = b"%d" % fails_at
    async with kept_scene.open() as db:
        stores = [await db.stores.open(name, "iavl") for name in names]
        for store in stores:
            await store.set_many({b"crash": value, b"before": value})
        contents = [store._content for store in stores]
        calls = 0

        def failing(commit: Any) -> Any:
            async def counted(*args: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == fails_at:
                    raise InterruptedError
                return await commit(*args)

            return counted

        for content in contents:
            content.space.commit = failing(content.space.commit)  # type: ignore[method-assign]
        with pytest.raises(InterruptedError):
            await Together(contents).save()
    async with kept_scene.open() as db:
        found = await db.stores.list_versions()
        stores = [await db.stores.get(name) for name in names]
        for store in stores:
            # What was acknowledged before the crash is there, saved or not.
            assert await store.get(b"crash") == value
        if found:
            whole = await db.stores.root()
            for store in stores:
                entry = next(one for one in whole.stores if one.name == store.name)
                assert (await store.root(entry.version)).root == entry.root
        saved = await db.stores.save_version()
        for store in stores:
            assert (await store.root()).root == saved.roots[store.name]
            assert await store.get(b"before") == value
