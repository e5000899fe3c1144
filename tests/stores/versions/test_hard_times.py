"""Versions when things go wrong: kills, races, damage, and limits."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import holdfast
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import IntegrityFailed, InvalidInput, VersionNotFound
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.stores.versions import staging
from tests.store.scene import Scene, engine_of, listed, rows_of
from tests.stores.iavl.test_vectors import SCENARIOS, Replay
from tests.tidy import repository


async def contents(store: Any) -> dict[bytes, bytes]:
    return dict(await listed(store.iterate()))


@pytest.mark.row("E-100")
async def test_old_versions_go_beyond_the_limit(scene: Scene) -> None:
    async with scene.open() as db:
        kept = await db.stores.create("kept", config={"kind": "iavl", "max_versions": 3})
        every = await db.stores.create("every", "iavl")
        rows = {}
        for store in (kept, every):
            for number in range(1, 6):
                await store.set_many({b"%02d" % n: b"%d" % number * 50 for n in range(40)})
                await store.save_version()
            prefix = layout.region(store._content.space.keyspace.number, layout.SAVED)
            rows[store.name] = len(await rows_of(db, Range.prefix(prefix)))
        assert await kept.list_versions() == [3, 4, 5]
        assert rows["kept"] < rows["every"] * 0.7, "the rows of old versions are gone"
        assert await kept.verify() > 0


@pytest.mark.row("E-098", "E-100")
@pytest.mark.parametrize("kind", ["iavl", "plain"])
async def test_what_was_dropped_takes_no_memory(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        config = {"kind": kind, "max_versions": 2}
        store: Any = await db.stores.create("kept", config=config)
        for number in range(20):
            await store.set_many({b"%03d" % key: b"%d" % number for key in range(100)})
            await store.save_version()
        cache = store._content.cache if kind == "iavl" else store._versions()._cache
        # Two versions of a hundred keys have four hundred nodes at most.
        assert len(cache) <= 800


WRONG_VERSIONS: list[Any] = ["1", b"1", 1.0, True, [], float("nan")]


@pytest.mark.row("E-033")
@pytest.mark.parametrize("kind", ["iavl", "plain"])
async def test_what_is_no_version_is_refused(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store: Any = await db.stores.create("s", config={"kind": kind})
        await store.set(b"k", b"v")
        await store.save_version()
        await db.stores.save_version()

        async def diff(version: Any) -> None:
            await listed(store.diff(version, 1))

        together: Any = db.stores.root
        reads = (store.root, store.content_root, store.verify, diff, together)
        back = (store.load_version, store.rollback, store.at_version)
        calls = (*reads, *back, lambda version: store.branch("b", version))
        for call in calls if kind == "iavl" else reads:
            for version in (0, -1, 99, 2**63, 2**64, 2**200):
                with pytest.raises(VersionNotFound):
                    await call(version)
            for wrong in WRONG_VERSIONS:
                with pytest.raises(InvalidInput):
                    await call(wrong)


async def test_a_version_too_big_for_one_commit_is_written_in_steps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        whole, parts = await db.stores.create("whole", "iavl"), await db.stores.create("p", "iavl")
        pairs = [(b"%d" % (n * 7919 % 1000), b"v%d" % n) for n in range(300)]
        for store in (whole, parts):
            await store.set_many(pairs)
        root = (await whole.save_version()).root
        monkeypatch.setattr(staging, "ROWS_MAX", 40)
        monkeypatch.setattr(staging, "UNSAVED_MAX", 30)
        assert (await parts.save_version()).root == root
        assert await contents(parts) == dict(pairs)
        await parts.set(b"x", b"y")
        await parts.delete(pairs[0][0])
        await parts.save_version()
        assert await contents(parts) == {**dict(pairs[1:]), b"x": b"y"}


async def test_whoever_saves_last_is_right(kept_scene: Scene, monkeypatch: Any) -> None:
    """Savers in two handles, in steps, with a writer beside them: no change is lost."""
    monkeypatch.setattr(staging, "ROWS_MAX", 10)
    async with kept_scene.open() as one, kept_scene.open() as two:
        store = await one.stores.create("s", "iavl")
        other = await two.stores.get("s")
        expected: dict[bytes, bytes] = {}
        chance = random.Random(7)

        async def write(count: int) -> None:
            for number in range(count):
                key, value = b"%d" % chance.randrange(60), b"%d" % number
                await store.set(key, value)
                expected[key] = value
                await asyncio.sleep(0)

        async def save(which: Any, count: int) -> None:
            for _ in range(count):
                await which.save_version()

        await asyncio.gather(write(120), save(store, 8), save(other, 8))
        last = await other.save_version()
        assert await contents(store) == await contents(other) == expected
        assert await store.list_versions() == list(range(1, last.number + 1))
        async with await store.at_version(last.number) as saved:
            assert dict(await listed(saved.iterate())) == expected
        assert await store.verify() > 0


KILLED = """
    import asyncio, sys
    import holdfast
    from holdfast.stores.versions import staging
    staging.ROWS_MAX = 20
    async def main():
        async with holdfast.open(sys.argv[1]) as db:
            store = await db.stores.open("s", "iavl", {"fast_index": sys.argv[2] == "True"})
            n = await store.count()
            while True:
                await store.set(b"%06d" % n, b"value %d" % n)
                print(n, flush=True)
                n += 1
                if n % 5 == 0:
                    saved = await store.save_version()
                    print("saved", saved.number, saved.root.hex(), n, flush=True)
    asyncio.run(main())
"""


def killed_once(url: str, lines: int, *, fast_index: bool) -> list[str]:
    """What a process said before it was killed in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), url, str(fast_index)],
        env={"PYTHONPATH": str(repository.SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = []
    try:
        for line in process.stdout:
            told.append(line.strip())
            if len(told) >= lines:
                break
    finally:
        process.kill()
        # What it had said when it was killed; the last line may be cut.
        told += process.stdout.read().split("\n")[:-1]
        process.stdout.close()
        process.wait()
    return told


@pytest.mark.parametrize("fast_index", [False, True])
async def test_kills_lose_nothing_and_break_no_version(kept_scene: Scene, fast_index: bool) -> None:
    chance = random.Random(11)
    acknowledged, versions = -1, {}
    for _ in range(3 if fast_index else 6):
        lines = chance.randrange(20, 60)
        for line in killed_once(kept_scene.url, lines, fast_index=fast_index):
            words = line.split()
            if words[:1] == ["saved"] and len(words) == 4:
                versions[int(words[1])] = (words[2], int(words[3]))
            elif len(words) == 1 and words[0].isdigit():
                acknowledged = int(words[0])
        async with kept_scene.open() as db:
            store = await db.stores.get("s")
            assert await store.count() >= acknowledged + 1
            for number, (root, count) in list(versions.items())[-3:]:
                assert (await store.root(number)).root.hex() == root
                async with await store.at_version(number) as saved:
                    assert await saved.count() == count
            for n in range(acknowledged + 1) if fast_index else (acknowledged,):
                assert await store.get(b"%06d" % n) == b"value %d" % n


@pytest.mark.row("E-035")
async def test_damage_is_found_by_check_and_by_reading(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        store = await db.stores.create("s", "iavl")
        for number in range(3):
            await store.set_many({b"%d" % n: b"%d" % (number * n) for n in range(20)})
            await store.save_version()
        await store.set(b"unsaved", b"x")
        assert await db.check() == []
        number = store._content.space.keyspace.number
        saved = await rows_of(db, Range.prefix(layout.region(number, layout.SAVED)))
        for key, record in random.Random(3).sample(saved, 25):
            flipped = bytes([*record.value[:-1], record.value[-1] ^ 4]) if record.value else b"x"
            await engine_of(db).commit(Batch([Put(key, flipped)]))
            store._content.cache.young.clear()  # type: ignore[attr-defined]
            assert await db.check() != [], key
            await engine_of(db).commit(Batch([Put(key, record.value)]))
        assert await db.check() == []
        [(log, record)] = await rows_of(db, Range.prefix(layout.region(number, layout.PENDING)))
        data = layout.region(number, layout.DATA) + b"unsaved"
        [row] = await engine_of(db).read([data])
        assert row is not None
        await engine_of(db).commit(Batch([Delete(data)]))
        assert any("unsaved" in fault for fault in await db.check())
        await engine_of(db).commit(Batch([Put(data, row.value), Put(log, b"\xc1")]))
        assert await db.check() != []
        with pytest.raises(IntegrityFailed):
            await store.save_version()
        await engine_of(db).commit(Batch([Put(log, record.value)]))
        assert (await store.save_version()).number == 4


async def test_a_reader_of_an_old_version_reads_on(kept_scene: Scene) -> None:
    """Pruned by another handle, rolled back, and the store deleted: the view stays whole."""
    async with kept_scene.open() as db, kept_scene.open() as other:
        store = await db.stores.create("s", "iavl")
        wanted = {}
        for number in range(4):
            wanted = {b"%03d" % n: b"%d" % (n * number) for n in range(300)}
            await store.set_many(wanted)
            await store.save_version()
        first = {b"%03d" % n: b"0" for n in range(300)}
        async with await store.at_version(1) as old, await store.at_version(4) as new:
            theirs = await other.stores.get("s")
            assert await theirs.prune(2) == 2
            await theirs.rollback(3)
            await other.stores.delete("s")
            assert dict(await listed(old.iterate())) == first
            assert dict(await listed(new.iterate())) == wanted
            assert await old.get(b"007") == b"0"
            assert await old.prove(b"007")
        with pytest.raises(VersionNotFound):
            await (await db.stores.create("s", "iavl")).at_version(1)


class Recorded:
    """A tree that only notes what is done to it, and what stands in it."""

    def __init__(self) -> None:
        self.operations: list[tuple[bytes, bytes | None]] = []
        self.state: dict[bytes, bytes] = {}

    def set(self, key: bytes, value: bytes) -> None:
        self.state[key] = value
        self.operations.append((key, value))

    def remove(self, key: bytes) -> None:
        self.state.pop(key, None)
        self.operations.append((key, None))

    def items(self) -> list[tuple[bytes, bytes]]:
        return sorted(self.state.items())


@pytest.mark.row("E-083")
@pytest.mark.parametrize(
    "scenario", [one for one in SCENARIOS if not one["prune"]], ids=lambda one: one["name"]
)
async def test_a_database_gives_the_roots_of_cosmos(scenario: dict[str, Any]) -> None:
    """The histories of cosmos/iavl v1, by set, delete and save_version of a store."""
    settings = {"kind": "iavl", "initial_version": scenario["initial_version"] or 1}
    async with holdfast.open("memory://", housekeeping=False) as db:
        store = await db.stores.create("s", config=settings)
        replay = Replay(scenario)
        recorded = Recorded()
        replay.tree = recorded  # type: ignore[assignment]
        states = {}
        for turn, expected in enumerate(scenario["saves"], 1):
            replay.operate(turn)
            async with store.transaction() as tx:
                for key, value in recorded.operations:
                    if value is None:
                        await tx.delete(key)
                    else:
                        await tx.set(key, value)
            recorded.operations.clear()
            saved = await store.save_version()
            assert (saved.number, saved.root.hex()) == (expected["version"], expected["root"])
            states[saved.number] = dict(recorded.state)
            if to := replay.told("rollback", turn):
                await store.rollback(to)
                recorded.state = dict(states[to])
        assert await contents(store) == recorded.state
        assert await db.check() == []
