"""`Cached`: served from memory while nobody changed it, never old, never shared."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast import Conflict
from holdfast.contract.errors import InvalidInput, InvalidKey, StoreClosed, WrongContext
from holdfast.database.handle import Database
from holdfast.records.decorators.cached import Cached
from holdfast.store.versions import cache as cache_module
from holdfast.store.versions.cache import LOOK_INTERVAL_S, CacheLimits, CacheStats
from tests.records.decorators.stacks import cache_of
from tests.store.scene import Scene, core_of, engine_of, listed, until

SOURCE = Path(holdfast.__file__).parents[1]


def cached(db: Database, limits: CacheLimits | None = None) -> Cached:
    """The core of a handle with a cache of its own around it."""
    return Cached(core_of(db), cache_of(db, limits), db._require_gate())


def served(store: Cached) -> tuple[int, int]:
    """(from memory, from the database)."""
    stats = store.stats()
    return stats.hits, stats.misses


async def value(store: Any, key: str) -> Any:
    entry = await store.get(key)
    return None if entry is None else entry.value


async def test_what_is_read_again_comes_from_memory_and_is_nobody_elses(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        await store.set("a:1", {"list": [1]}, tags=["t"])
        first = await store.require("a:1")
        assert served(store) == (0, 1)
        first.value["list"].append("mine")
        second = await store.require("a:1")
        assert served(store) == (1, 1)
        assert second == first
        assert second is not first
        assert second.value == {"list": [1]}
        second.value["list"].clear()
        second.metadata.tags.clear()
        third = await store.require("a:1")
        assert third.value == {"list": [1]}
        assert third.metadata.tags == ["t"]
        assert await store.has("a:1")
        assert served(store) == (3, 1)


async def test_absence_is_remembered_too(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        assert await store.get("a:1") is None
        assert await store.get("a:1") is None
        assert await store.has("a:1") is False
        assert served(store) == (2, 1)
        await store.set("a:1", 1)
        assert await value(store, "a:1") == 1


async def test_own_writes_of_every_kind_are_seen_at_once(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        keys = ("a:1", "a:2", "b:1")

        async def read() -> list[Any]:
            return [await value(store, key) for key in keys]

        assert await read() == [None, None, None]
        await store.set("a:1", 1)
        assert await read() == [1, None, None]
        await store.set_many({"a:1": 2, "a:2": 2})
        assert await read() == [2, 2, None]
        await store.modify("a:1", lambda value: value + 1)
        assert await read() == [3, 2, None]
        await store.rename("a:1", "b:1")
        assert await read() == [None, 2, 3]
        await store.delete("b:1")
        assert await read() == [None, 2, None]
        await store.undelete("b:1")
        assert await read() == [None, 2, 3]
        await store.set("a:2", 5)
        await store.restore("a:2", 1)
        assert await read() == [None, 2, 3]
        touched = await store.touch("a:2", tags=["new"])
        assert await store.get("a:2") == touched
        await store.delete_many(keys)
        assert await read() == [None, None, None]
        with pytest.raises(Conflict):
            await store.set("a:1", 1, if_revision=7)
        with pytest.raises(InvalidKey):
            await store.set("a/1", 1)
        assert await read() == [None, None, None]


async def test_a_committed_transaction_of_the_handle_is_seen_at_once(scene: Scene) -> None:
    async with scene.open(cached=True) as db:
        await db.entries.set("a:1", 1)
        assert await value(db.entries, "a:1") == 1
        async with db.transaction() as tx:
            await tx.entries.set("a:1", 2)
            assert await value(tx.entries, "a:1") == 2
            assert await value(db.entries, "a:1") == 1
        assert await value(db.entries, "a:1") == 2
        before = (await db.explain())["cache"]
        assert await value(db.entries, "a:1") == 2
        assert (await db.explain())["cache"]["hits"] == before["hits"] + 1


async def test_other_handles_are_seen_at_the_next_look(scene: Scene) -> None:
    async with scene.open() as db, scene.handle() as other:
        store = cached(db)
        await store.set("a:1", 1)
        await store.set("a:2", 1)
        assert [await value(store, key) for key in ("a:1", "a:2", "a:3")] == [1, 1, None]
        await other.entries.set("a:1", 2)
        await other.entries.set("a:3", 2)
        # The clock stands still: nobody has to look yet. It may be this old, no older.
        assert [await value(store, key) for key in ("a:1", "a:2", "a:3")] == [1, 1, None]
        scene.clock.advance(LOOK_INTERVAL_S)
        hits, misses = served(store)
        assert [await value(store, key) for key in ("a:1", "a:2", "a:3")] == [2, 1, 2]
        # What was not changed stays.
        assert served(store) == (hits + 1, misses + 2)
        async with other.transaction() as tx:
            await tx.entries.delete("a:1")
            await tx.entries.rename("a:2", "b:2")
        scene.clock.advance(LOOK_INTERVAL_S)
        assert [await value(store, key) for key in ("a:1", "a:2", "b:2")] == [None, None, 1]
        assert store.stats().invalidated >= 4


async def test_what_expires_is_absent_at_its_instant(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        await store.set("a:1", 1, ttl=LOOK_INTERVAL_S / 2)
        assert await value(store, "a:1") == 1
        scene.clock.advance(LOOK_INTERVAL_S / 2)
        assert await value(store, "a:1") is None
        assert await store.has("a:1") is False
        await db.sweep()
        await store.set("a:1", 2)
        assert (await store.require("a:1")).metadata.incarnation == 2


async def test_too_many_changes_or_a_feed_that_is_gone_empty_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db, scene.handle() as other:
        store = cached(db)
        monkeypatch.setattr(cache_module, "CATCH_UP_REVISIONS_MAX", 20)

        async def changed(times: int) -> None:
            await store.set("a:1", 1)
            assert await value(store, "a:1") == 1
            for number in range(times):
                await other.entries.set("b:1", number)
            await other.entries.set("a:1", 2)
            scene.clock.advance(LOOK_INTERVAL_S)

        await changed(30)
        assert await value(store, "a:1") == 2
        assert store.stats().entries == 1
        await changed(5)
        await other.retention.keep_feed(changes_max=0)
        await other.compact()
        scene.clock.advance(LOOK_INTERVAL_S)
        assert await value(store, "a:1") == 2


@pytest.mark.row("E-098")
async def test_it_holds_no_more_than_it_may(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db, CacheLimits(entries_max=3))
        for number in range(5):
            await store.set(f"n:{number}", number)
            await store.get(f"n:{number}")
        await store.get("n:2")  # Used again: now n:3 is the oldest.
        await store.get("n:none")
        assert store.stats().entries == 3
        assert store.stats().evicted == 3
        hits, misses = served(store)
        assert [await value(store, f"n:{number}") for number in (2, 4)] == [2, 4]
        assert served(store) == (hits + 2, misses)

        limits = CacheLimits(entries_max=1_000, bytes_max=50_000)
        small = cached(db, limits)
        for number in range(50):
            await small.set(f"s:{number}", "x" * 3_000)
            await small.get(f"s:{number}")
            assert small.stats().bytes <= limits.bytes_max
        assert 5 < small.stats().entries < 50
        before = small.stats().entries
        await small.set("s:big", "x" * 10_000)
        await small.get("s:big")
        assert small.stats().entries == before  # Too big to be worth the others.


async def test_big_values_are_kept_whole(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        big = {"text": "x" * 1_000_000}
        await store.set("a:big", big)
        assert (await store.require("a:big")).value == big
        assert (await store.require("a:big")).value == big
        assert served(store) == (1, 1)
        assert store.stats().bytes > 1_000_000


async def test_a_write_while_it_is_read_does_not_leave_the_old_one_behind(scene: Scene) -> None:
    """The read began before the write and ends after it."""
    async with scene.open() as db:
        core = core_of(db)
        await core.set("a:1", "old")
        reading, go_on = asyncio.Event(), asyncio.Event()

        class Slow(Cached):
            """Stands below: hands on what it read only when told."""

            async def get(self, key: Any, **options: Any) -> Any:
                entry = await core.get(key, **options)
                reading.set()
                await go_on.wait()
                return entry

        slow = Slow(core, cache_of(db), db._require_gate())
        store = Cached(slow, cache_of(db), db._require_gate())
        first = asyncio.create_task(store.get("a:1"))
        await reading.wait()
        await store.set("a:1", "new")
        go_on.set()
        assert (await first).value == "old"  # type: ignore[union-attr]
        assert await value(store, "a:1") == "new"


async def test_a_cancelled_write_that_is_committed_all_the_same_is_seen(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        await store.set("a:1", 1)
        assert await value(store, "a:1") == 1
        for number in range(2, 12):
            task = asyncio.create_task(store.set("a:1", number))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: _agree(scene, store, db))


async def _agree(scene: Scene, store: Cached, db: Database) -> bool:
    """Whether memory and database say the same, a while later."""
    scene.clock.advance(LOOK_INTERVAL_S)
    return bool(await store.get("a:1") == await core_of(db).get("a:1"))


async def test_a_suspicion_during_a_look_is_not_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction commits just after a look has asked for the head."""
    async with scene.open(cached=True) as db:
        await db.entries.set("a:1", 1)
        assert await value(db.entries, "a:1") == 1
        scene.clock.advance(LOOK_INTERVAL_S)
        engine = engine_of(db)
        asked, go_on = asyncio.Event(), asyncio.Event()
        head = engine.head

        async def slow_head() -> int:
            found = await head()
            asked.set()
            await go_on.wait()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(engine, "head", slow_head)
            reading = asyncio.create_task(value(db.entries, "a:1"))
            await asked.wait()
        async with db.transaction() as tx:
            await tx.entries.set("a:1", 2)
        go_on.set()
        assert await reading in (1, 2)
        assert await value(db.entries, "a:1") == 2


async def test_the_past_and_several_at_once_are_read_from_the_database(scene: Scene) -> None:
    async with scene.open(cached=True) as db:
        first = await db.entries.set("a:1", 1)
        await db.entries.set("a:1", 2)
        await db.entries.get("a:1")
        before = (await db.explain())["cache"]
        past = await db.entries.get("a:1", version=1)
        assert past is not None
        assert past.value == 1
        past = await db.entries.get("a:1", at=first.revision)
        assert past is not None
        assert past.value == 1
        assert len(await db.entries.get_many(["a:1"])) == 1
        assert [entry.value async for entry in db.entries.items()] == [2]
        assert (await db.explain())["cache"] == before
        digest = await db.schemas.register({"type": "integer"})
        entry = await db.entries.get("a:1", expect=digest)
        assert entry is not None
        assert entry.value == 2


async def test_a_migration_on_reading_is_seen(scene: Scene) -> None:
    async with scene.open(cached=True) as db:
        old = await db.schemas.register({"type": "integer"})
        new = await db.schemas.register({"type": "string"})
        db.schemas.register_migration(old, new, str)
        store = Cached(db.entries, cache_of(db), db._require_gate())
        await store.set("a:1", 1, schema_hash=old)
        assert await value(store, "a:1") == 1
        migrated = await store.get("a:1", expect=new)
        assert migrated is not None
        assert migrated.value == "1"
        assert await value(store, "a:1") == "1"
        assert await value(db.entries, "a:1") == "1"


async def test_around_a_transaction_it_keeps_out_of_the_way(scene: Scene) -> None:
    async with scene.open() as db:
        store = cached(db)
        await store.set("a:1", 1)
        await store.get("a:1")
        async with db.transaction() as tx:
            inside = store.around(tx.entries)
            await inside.set("a:1", 2)
            assert await value(inside, "a:1") == 2
            assert await value(store, "a:1") == 1
            assert inside.stats() == CacheStats(0, 0, 0, 0, 0, 0)


async def test_a_closed_handle_serves_nothing(scene: Scene) -> None:
    db = await scene.handle(cached=True)
    await db.entries.set("a:1", 1)
    await db.entries.get("a:1")
    entries = db.entries

    def elsewhere() -> None:
        with pytest.raises(WrongContext):
            asyncio.run(entries.get("a:1"))

    await asyncio.to_thread(elsewhere)
    await db.close()
    with pytest.raises(StoreClosed):
        await entries.get("a:1")
    with pytest.raises(StoreClosed):
        await entries.has("a:1")


@pytest.mark.parametrize("limits", [CacheLimits(0), CacheLimits(1, 0)])
async def test_limits_that_cannot_be_are_refused(limits: CacheLimits) -> None:
    with pytest.raises(InvalidInput):
        await holdfast.open("memory://", cached=limits)


def test_threads_share_a_cache(tmp_path: Path) -> None:
    with holdfast.sync.open(f"lmdb:///{tmp_path / 'db'}", cached=CacheLimits(20)) as db:
        db.entries.set_many({f"n:{n}": 0 for n in range(40)})
        failures: list[str] = []

        def work(own: int) -> None:
            for turn in range(200):
                db.entries.set(f"n:{own}", turn)
                found = db.entries.require(f"n:{own}").value
                if found != turn:
                    failures.append(f"{own}: wrote {turn}, read {found}")
                db.entries.get(f"n:{(own * 7 + turn) % 40}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        cache = db.explain()["cache"]
        assert cache["entries"] <= 20
        assert cache["hits"] > 0


async def test_a_write_of_another_process_is_seen_soon(kept_scene: Scene) -> None:
    program = """
        import sys
        import holdfast.sync
        with holdfast.sync.open(sys.argv[1]) as db:
            for line in sys.stdin:
                db.entries.set("a:1", int(line))
                print("written", flush=True)
    """
    async with kept_scene.handle(components=None, cached=True) as db:
        await db.entries.set("a:1", 0)
        process = subprocess.Popen(  # noqa: ASYNC220 - it starts before anything else happens
            [sys.executable, "-c", textwrap.dedent(program), kept_scene.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            text=True,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            for number in range(1, 6):
                assert await value(db.entries, "a:1") == number - 1
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
                await asyncio.to_thread(process.stdout.readline)
                # The promise, with nothing but the clock in between.
                await asyncio.sleep(0.1)
                assert await value(db.entries, "a:1") == number
        finally:
            process.kill()
            process.communicate()
        assert [entry.value for entry in await listed(db.entries.items())] == [5]
