"""Content roots of plain stores, through the database, on every engine."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from holdfast.contract.errors import Unsupported, VersionNotFound
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.stores.merkle import decode_proof, proven_digest
from holdfast.stores.versions import contents
from tests.store.scene import Scene, listed, rows_of


@pytest.mark.row("E-031")
async def test_the_root_tells_contents_and_nothing_else(scene: Scene) -> None:
    pairs = [(b"k%d" % n, b"v%d" % n) for n in range(50)]
    roots = set()
    async with scene.open() as db:
        for number, config in enumerate(
            ({}, {"compression": "zstd"}, {"format": "json"}, {"format": "msgpack"})
        ):
            store = await db.stores.create(f"s{number}", config=config)
            shuffled = list(pairs)
            random.Random(number).shuffle(shuffled)
            for key, value in shuffled:
                await store.set(key, b"first")
                await store.set(key, value)
            await store.set(b"gone", b"x")
            saved = await store.save_version()
            await store.delete(b"gone")
            again = await store.save_version()
            assert (saved.number, again.number) == (1, 2)
            assert saved.root != again.root
            roots.add(again.root)
            assert [tuple(one) for one in await listed(store.diff(1, 2))] == [
                (b"gone", sha256(b"x").digest(), None)
            ]
        assert len(roots) == 1
        await store.set(b"k7", b"v7!")
        assert (await store.save_version()).root not in roots


async def test_presence_and_absence_are_proven(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        await store.set_many({b"%d" % n: b"v" for n in range(30)})
        one = await store.save_version()
        await store.set(b"7", b"other")
        two = await store.save_version()
        for saved, value in ((one, b"v"), (two, b"other")):
            proof = decode_proof(await store.prove(b"7", saved.number))
            assert proven_digest(saved.root, proof, b"7") == sha256(value).digest()
        proof = decode_proof(await store.prove(b"nope", 1))
        assert proven_digest(one.root, proof, b"nope") is None
        assert await store.verify() == 31, "30 keys, and one that changed"
        for call in (store.load_version(1), store.rollback(1), store.at_version(1)):
            with pytest.raises(Unsupported):
                await call
        with pytest.raises(VersionNotFound):
            await store.prove(b"7", 3)
        assert await store.prune(1) == 1
        assert await store.list_versions() == [2]
        assert await store.verify() == 30


async def test_a_store_never_saved_pays_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        other = await db.stores.create("saved")
        await other.save_version()
        for one in (store, other):
            await one.set_many({b"%d" % n: b"v" for n in range(20)})
        for name, pending in (("s", 0), ("saved", 20)):
            number = (await db.stores.get(name))._content.space.keyspace.number
            rows = await rows_of(db, Range.prefix(layout.region(number, layout.PENDING)))
            assert len(rows) == pending
        await other.save_version()
        assert await rows_of(db, Range.prefix(layout.region(number, layout.PENDING))) == []


async def test_what_expires_is_not_in_the_root(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        await store.set(b"a", b"1")
        plain = await store.save_version()
        await store.set(b"b", b"2", ttl=10)
        assert (await store.save_version()).root != plain.root
        scene.clock.advance(11)
        assert (await store.save_version()).root == plain.root


async def test_others_learn_that_keys_are_recorded(kept_scene: Scene) -> None:
    """A handle that opened the store before its first version records its keys all the same."""
    async with kept_scene.open() as db, kept_scene.open() as other:
        store = await db.stores.create("s")
        theirs = await other.stores.get("s")
        await theirs.set(b"a", b"1")
        one = await store.save_version()
        await theirs.set(b"a", b"2")
        two = await store.save_version()
        assert one.root != two.root
        assert (await theirs.root()).root == two.root


async def test_a_big_first_version_is_folded_in_parts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        whole = await db.stores.create("whole")
        parts = await db.stores.create("parts")
        pairs = {b"%d" % n: b"v%d" % n for n in range(100)}
        await whole.set_many(pairs)
        await parts.set_many(pairs)
        root = (await whole.save_version()).root
        monkeypatch.setattr(contents, "PART_KEYS", 7)
        assert (await parts.save_version()).root == root
        assert await parts.list_versions() == [1]
        await parts.set_many({b"%d" % n: b"w" for n in range(40)})
        await parts.save_version()
        assert await parts.prune(1) == 1
        assert await parts.verify() == 100


@pytest.mark.row("E-031")
async def test_stores_of_both_kinds_have_one_content_root(scene: Scene) -> None:
    async with scene.open() as db:
        plain, tree = await db.stores.create("p"), await db.stores.create("t", "iavl")
        for store, order in ((plain, range(40)), (tree, range(39, -1, -1))):
            for n in order:
                await store.set(b"%d" % n, b"v%d" % n)
            await store.save_version()
        assert await plain.content_root() == await tree.content_root()
        await tree.set(b"7", b"v7!")
        await tree.save_version()
        assert await plain.content_root() == await tree.content_root(1)
        assert await plain.content_root() != await tree.content_root(2)
        with pytest.raises(VersionNotFound):
            await tree.content_root(3)
