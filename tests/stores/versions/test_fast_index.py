"""The fast index of a store of kind `iavl`: one row read for the newest value, and never a lie."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import ConfigInvalid, Conflict, IntegrityFailed, Unsupported
from holdfast.contract.record import Range
from holdfast.stores.config import StoreConfig
from holdfast.stores.content import Moved
from holdfast.stores.iavl.rows import NODE
from holdfast.stores.versions import staging
from holdfast.stores.versions.base import moment_of
from holdfast.stores.versions.indexing import IndexBuilder
from holdfast.stores.versions.rows import complete_key, index_prefix
from holdfast.stores.versions.staging import commit_step
from holdfast.stores.versions.tree_content import TreeContent
from holdfast.stores.versions.trees import TreeVersions
from tests.store.scene import Scene, engine_of, listed, rows_of
from tests.stores.versions.test_hard_times import contents

INDEXED = {"kind": "iavl", "fast_index": True}


def number_of(store: Any) -> int:
    number: int = store._content.number
    return number


async def index_rows(db: Any, store: Any) -> int:
    """How many rows of the fast index there are, with the one that says that it is complete."""
    number = number_of(store)
    begins = (index_prefix(number), complete_key(number))
    return sum(key.startswith(begins) for key, _ in await rows_of(db))


def quick(scene: Scene) -> dict[str, Any]:
    """Settings for tests with many commits that none of them loses."""
    return {} if scene.engine == "memory" else {"durability": "relaxed"}


async def nodes_read(store: Any, keys: list[bytes]) -> int:
    """How many rows of nodes it takes to get keys when nothing is in memory but the root."""
    rows = store._content.nodes.rows
    await store.get(keys[0])
    store._content.cache.young.clear()
    store._content.cache._old.clear()
    read = []
    get = rows.get

    def counted(key: bytes) -> bytes | None:
        read.append(key)
        found: bytes | None = get(key)
        return found

    rows.get = counted
    try:
        for key in keys:
            await store.get(key)
    finally:
        rows.get = get
    return sum(key.startswith(NODE) for key in read)


async def index_of(db: Any, store: Any) -> dict[bytes, bytes]:
    prefix = index_prefix(number_of(store))
    rows = await rows_of(db, Range.prefix(prefix))
    return {key[len(prefix) :]: record.value for key, record in rows}


def test_the_setting_is_for_trees() -> None:
    for wrong in ({"fast_index": True}, {"kind": "iavl", "fast_index": 1}):
        with pytest.raises(ConfigInvalid, match="fast_index"):
            StoreConfig.of(wrong)


async def test_the_newest_value_takes_no_walk(scene: Scene) -> None:
    async with scene.open() as db:
        fast = await db.stores.create("fast", config=INDEXED)
        slow = await db.stores.create("slow", kind="iavl")
        keys = [b"%03d" % n for n in range(200)]
        for store in (fast, slow):
            await store.set_many([(key, key * 2) for key in keys])
            await store.set(b"empty", b"")
            await store.set(b"k" * 4000, b"long")
            await store.save_version()
        assert (await fast.root()).root == (await slow.root()).root
        assert await nodes_read(fast, keys) == 0
        assert await nodes_read(slow, keys) > len(keys)
        assert [await fast.get(key) for key in (keys[7], b"empty", b"k" * 4000)] == [
            keys[7] * 2, b"", b"long",
        ]  # fmt: skip
        await fast.set(keys[0], b"unsaved")
        assert await fast.get(keys[0]) == b"unsaved"
        assert await fast.get(b"absent", None) is None
        # An earlier version has no index; the latest one has it again.
        await fast.save_version()
        await fast.load_version(1)
        assert await fast.get(keys[0]) == keys[0] * 2
        assert await nodes_read(fast, keys) > len(keys)
        await fast.load_version(2)
        assert await fast.get(keys[0]) == b"unsaved"
        assert await nodes_read(fast, keys) == 0


@pytest.mark.parametrize("rows_max", [staging.ROWS_MAX, 30])
async def test_it_is_the_tree_whatever_happens(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    """Histories of sets, deletes, loads, rollbacks and prunings; some too big for one commit."""
    monkeypatch.setattr(staging, "ROWS_MAX", rows_max)
    chance = random.Random(rows_max)
    async with scene.open(**quick(scene)) as db, scene.open(**quick(scene)) as beside:
        store = await db.stores.create("s", config=INDEXED)
        reader = await beside.stores.get("s")
        states: dict[int, dict[bytes, bytes]] = {}
        state: dict[bytes, bytes] = {}
        for turn in range(24):
            for _ in range(chance.choice((1, 5, 40))):
                key = b"%d" % chance.randrange(60)
                if chance.random() < 0.7:
                    state[key] = b"%d of %d" % (turn, chance.randrange(9))
                    await store.set(key, state[key])
                else:
                    assert await store.delete(key) is (state.pop(key, None) is not None)
            what = chance.choice(("save", "save", "save", "load", "rollback", "prune"))
            if what == "save" or not states:
                states[(await store.save_version()).number] = dict(state)
            elif what == "load":
                version = chance.choice(list(states))
                await store.load_version(version)
                state = dict(states[version])
            elif what == "rollback":
                version = chance.choice(list(states))
                await store.rollback(version)
                state = dict(states[version])
                states = {n: one for n, one in states.items() if n <= version}
            elif len(states) > 1:
                gone = await store.prune(sorted(states)[-2])
                for version in sorted(states)[:gone]:
                    del states[version]
            for key in (b"%d" % n for n in range(60)):
                assert await reader.get(key, None) == state.get(key), (turn, what, key)
            found = await index_of(db, store)
            assert sorted(found) == sorted(states[max(states)]), (turn, what)
            assert await db.check() == []


async def test_a_store_that_had_none_gets_one(scene: Scene) -> None:
    """While another handle, which does not know of it, goes on to write, save and go back."""
    async with scene.open() as db, scene.open() as other:
        store = await db.stores.create("old", kind="iavl")
        theirs = await other.stores.get("old")
        pairs = {b"%03d" % n: b"v%d" % n for n in range(150)}
        await store.set_many(pairs)
        assert await store.build_index() == 0, "nothing is saved that it could be of"
        store = await db.stores.create("older", kind="iavl")
        theirs = await other.stores.get("older")
        await store.set_many(pairs)
        await store.save_version()
        assert not store.config.fast_index
        assert await store.build_index() == len(pairs)
        assert store.config.fast_index
        assert await nodes_read(store, list(pairs)) == 0
        await theirs.set(b"000", b"theirs")
        assert (await theirs.save_version()).number == 2
        assert theirs.config.fast_index
        assert await nodes_read(store, list(pairs)) == 0
        await theirs.rollback(1)
        await theirs.set(b"000", b"another")
        assert (await theirs.save_version()).number == 2
        assert await store.get(b"000") == b"another"
        plain = await db.stores.create("plain")
        with pytest.raises(Unsupported, match="plain"):
            await plain.build_index()
        async with store.transaction() as inside:
            assert await inside.get(b"000") == b"another"
    async with scene.open() as db:
        if scene.engine != "memory":
            store = await db.stores.open("older", config=INDEXED)
            assert await store.get(b"000") == b"another"


async def test_it_is_given_up_again(scene: Scene) -> None:
    async with scene.open(**quick(scene)) as db:
        store = await db.stores.create("t", config=INDEXED)
        other = await db.stores.get("t")
        await store.set_many({b"%03d" % n: b"v%d" % n for n in range(50)})
        root = await store.save_version()
        assert await store.drop_index() == 50
        assert not store.config.fast_index
        assert await index_rows(db, store) == 0
        assert await store.drop_index() == 0
        # A handle that was made before writes no row of it either.
        assert await other.get(b"007") == b"v7"
        await other.set(b"007", b"new")
        assert (await other.save_version()).number == 2
        assert not other.config.fast_index
        assert await store.get(b"007") == b"new"
        assert (await store.root(1)).root == root.root
        assert await db.check() == []
        assert await index_rows(db, store) == 0
        assert await store.build_index() == 50
        assert await store.get(b"007") == b"new"
        plain = await db.stores.create("plain")
        with pytest.raises(Unsupported, match="plain"):
            await plain.drop_index()
        async with db.transaction() as tx:
            inside = await tx.stores.get("t")
            with pytest.raises(Unsupported):
                await inside.drop_index()


async def test_who_builds_it_and_who_gives_it_up_do_not_mix(scene: Scene) -> None:
    """Whoever begins later wins, and the other is told."""
    async with scene.open(**quick(scene)) as db:
        store = await db.stores.create("t", config=INDEXED)
        await store.set_many({b"%03d" % n: b"v" for n in range(50)})
        await store.save_version()
        other = await db.stores.get("t")
        builder = IndexBuilder(cast("TreeContent", store._content))
        write = builder._write

        async def overtaken(part: Any) -> None:
            builder._write = write  # type: ignore[method-assign]
            await other.drop_index()
            await write(part)

        builder._write = overtaken  # type: ignore[method-assign]
        with pytest.raises(Conflict):
            await builder.build(anew=True)
        assert not (await db.stores.get("t")).config.fast_index
        assert await index_rows(db, store) == 0
        assert await db.check() == []


async def test_a_version_that_was_saved_without_it_is_not_answered_by_it(scene: Scene) -> None:
    """As by an older version of Holdfast, which knows of no index and keeps none."""
    async with scene.open_unchecked() as db:
        store = await db.stores.create("s", config=INDEXED)
        for value in (b"1", b"2"):
            await store.set(b"k", value)
            await store.save_version()
        before = await rows_of(db, Range.prefix(index_prefix(number_of(store))))
        complete = complete_key(number_of(store))
        [row] = await engine_of(db).read([complete])
        assert row is not None
        await store.rollback(1)
        await store.set(b"k", b"another 2")
        await store.save_version()
        kept = [Put(key, record.value) for key, record in before]
        await engine_of(db).commit(Batch([*kept, Put(complete, row.value)]))
        assert await store.get(b"k") == b"another 2"
        assert any("fast index" in fault for fault in await db.check())
        await store.set(b"other", b"x")
        await store.save_version()
        assert await store.get(b"k") == b"another 2"
        assert await db.check() == [], "saving has made it anew"
        assert sorted(await index_of(db, store)) == [b"k", b"other"]


@pytest.mark.row("E-035")
async def test_damage_is_found_and_mended(scene: Scene) -> None:
    async with scene.open_unchecked(**quick(scene)) as db:
        store = await db.stores.create("s", config=INDEXED)
        pairs = {b"%02d" % n: b"value %d" % n for n in range(20)}
        await store.set_many(pairs)
        await store.save_version()
        prefix = index_prefix(number_of(store))
        engine = engine_of(db)
        for key, row in (await index_of(db, store)).items():
            for place in range(len(row)):
                flipped = bytearray(row)
                flipped[place] ^= 1 << place % 8
                await engine.commit(Batch([Put(prefix + key, bytes(flipped))]))
                with pytest.raises(IntegrityFailed, match="build_index"):
                    await store.get(key)
            assert any("1 are wrong" in fault for fault in await db.check())
            await engine.commit(Batch([Put(prefix + key, row)]))
            if key == b"05":
                break
        assert await db.check() == []
        await engine.commit(Batch([Delete(prefix + b"07"), Put(prefix + b"070", b"x")]))
        with pytest.raises(IntegrityFailed, match="build_index"):
            await store.get(b"07")
        [fault] = await db.check()
        assert "1 rows are missing" in fault
        assert "1 too many" in fault
        assert await store.build_index() == len(pairs)
        assert await db.check() == []
        assert {key: await store.get(key) for key in pairs} == pairs
        # A row that does not say of which version it is stops nobody, and check names it.
        await engine.commit(Batch([Put(complete_key(number_of(store)), b"1.1.0-x")]))
        assert {key: await store.get(key) for key in pairs} == pairs
        assert any("build_index" in fault for fault in await db.check())
        await store.save_version()
        assert await db.check() == []


async def test_it_is_built_beside_writers_and_savers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "ROWS_MAX", 25)
    async with scene.open(**quick(scene)) as db, scene.open(**quick(scene)) as other:
        store, expected = await db.stores.create("s", kind="iavl"), {}
        theirs = await other.stores.get("s")
        for n in range(300):
            expected[b"%03d" % n] = b"v"
        await store.set_many(expected)
        await store.save_version()

        async def write() -> None:
            for n in range(30):
                expected[b"%03d" % (n * 9)] = b"%d" % n
                await theirs.set(b"%03d" % (n * 9), b"%d" % n)
                if n % 3 == 0:
                    await theirs.save_version()
                if n % 7 == 0:
                    await theirs.prune(await theirs.current_version() - 1)
                await asyncio.sleep(0)

        async def build() -> None:
            try:
                assert await store.build_index() >= len(expected)
            except Conflict:
                return  # A saver with a big version builds it.

        await asyncio.gather(build(), write())
        await store.save_version()
        assert {key: await store.get(key) for key in expected} == expected
        assert sorted(await index_of(db, store)) == sorted(expected)
        assert await nodes_read(store, list(expected)) == 0


async def test_a_version_folded_before_a_build_began_is_folded_anew(scene: Scene) -> None:
    """Its rows would go into an index that is half made."""
    async with scene.open() as db:
        store = await db.stores.create("s", config=INDEXED)
        await store.set_many({b"a": b"1", b"b": b"1"})
        await store.save_version()
        await store.set(b"a", b"2")
        content: Any = store._content
        async with moment_of(engine_of(db)) as moment:
            fold = await TreeVersions(content).folded(moment)
        assert fold.indexed
        await store.build_index()
        with pytest.raises(Moved):
            await commit_step(content, fold)
        assert await store.list_versions() == [1]
        await store.save_version()
        assert [await store.get(key) for key in (b"a", b"b")] == [b"2", b"1"]


async def test_a_build_that_is_cancelled_anywhere_leaves_right_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "ROWS_MAX", 10)
    async with scene.open() as db:
        store = await db.stores.create("s", config=INDEXED)
        pairs = {b"%02d" % n: b"v%d" % n for n in range(40)}
        await store.set_many(pairs)
        await store.save_version()
        ended = cancelled = 0
        while not ended:
            task = asyncio.ensure_future(store.build_index())
            for _ in range(cancelled):
                await asyncio.sleep(0)
                await asyncio.wait([task], timeout=0.001)
            task.cancel()
            try:
                await task
                ended += 1
            except asyncio.CancelledError:
                cancelled += 1
            assert {key: await store.get(key) for key in pairs} == pairs
            assert await db.check() == []
        assert cancelled > 0
        assert await nodes_read(store, list(pairs)) == 0


async def test_a_branch_begins_without_one(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", config=INDEXED)
        pairs = {b"%02d" % n: b"v" for n in range(30)}
        await store.set_many(pairs)
        await store.save_version()
        branch = await store.branch("b")
        assert not branch.config.fast_index
        assert await index_of(db, branch) == {}
        await branch.set(b"00", b"branched")
        await branch.save_version()
        assert await branch.build_index() == len(pairs)
        await branch.set(b"01", b"branched")
        await branch.save_version()
        assert await nodes_read(branch, list(pairs)) == 0
        assert [await branch.get(key) for key in (b"00", b"01", b"02")] == [
            b"branched", b"branched", b"v",
        ]  # fmt: skip
        assert await store.get(b"00") == b"v"
        await branch.rollback(2)
        assert await branch.get(b"01") == b"v"


async def test_snapshots_and_transactions_have_the_index_of_their_moment(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", config=INDEXED)
        await store.set(b"k", b"1")
        await store.save_version()
        async with await db.snapshot() as view, db.transaction(isolation="snapshot") as tx:
            inside, old = await tx.stores.get("s"), await view.stores.get("s")
            assert await inside.get(b"k") == b"1"
            await store.set(b"k", b"2")
            await store.save_version()
            assert await old.get(b"k") == b"1"
            assert await inside.get(b"k") == b"1"
            with pytest.raises(Unsupported):
                await old.build_index()
        assert await store.get(b"k") == b"2"


async def test_all_stores_at_once_keep_theirs(scene: Scene) -> None:
    async with scene.open() as db:
        stores = [await db.stores.create(name, config=INDEXED) for name in ("a", "b")]
        for n in range(3):
            for store in stores:
                await store.set_many({b"%d" % key: b"%d" % n for key in range(10)})
            await db.stores.save_version()
            for store in stores:
                assert await nodes_read(store, [b"%d" % key for key in range(10)]) == 0
                assert dict(await listed(store.iterate())) == await contents(store)
