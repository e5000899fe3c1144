"""Faults that hostile use once found in retention, the feed, watches and big values."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import (
    Compacted,
    InvalidInput,
    InvalidKey,
    KeyNotFound,
    VersionNotFound,
)
from holdfast.contract.record import Cursor, Range
from holdfast.database.handle import Database
from holdfast.records.big_values import BigValues
from holdfast.store import layout
from holdfast.store.versions import trimming
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.retention import SETTINGS_KEY
from holdfast.store.versions.trimming import _decode_counted
from tests.store.scene import Scene, engine_of, first, listed, rows_of

BIG = 600 * 1024


# --- Settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"changes_max": 1e6}, {"changes_max": 1.5}, {"changes_max": True}, {"changes_max": -1},
        {"changes_max": None}, {"age_s": math.inf}, {"age_s": math.nan}, {"age_s": 0},
        {"age_s": -1}, {"age_s": True}, {"age_s": "7d"}, {"age_s": 10**400},
    ],
    ids=str,
)  # fmt: skip
async def test_settings_that_cannot_be_are_not_written(
    scene: Scene, arguments: dict[str, Any]
) -> None:
    async with scene.open() as db:
        before = await db.head()
        with pytest.raises(InvalidInput):
            await db.retention.keep_feed(**arguments)
        for wrong in ({"versions": True}, {"versions": 1.0}, {"versions": -1}, {"values": "some"},
                      {"gone": None}):  # fmt: skip
            with pytest.raises(InvalidInput):
                await db.retention.keep("n", **wrong)
        with pytest.raises(InvalidKey, match="found a key"):
            await db.retention.keep("n:key", versions=0)
        assert await db.head() == before


@pytest.mark.parametrize(
    "stored", [b"\xc1", b"", b"\x94\xcb\x7f\xf0\0\0\0\0\0\0\xc3\x90\x90", b"\x91\xa1x"], ids=str
)
async def test_settings_that_cannot_be_read_do_not_lock_the_data_away(
    kept_scene: Scene, stored: bytes
) -> None:
    async with kept_scene.open_unchecked() as db:
        await db.entries.set("a", 1)
        await engine_of(db).commit(Batch([Put(SETTINGS_KEY, stored)]))
    async with kept_scene.open_unchecked(housekeeping=True) as db:
        assert (await db.entries.require("a")).value == 1
        await db.entries.set("a", 2)
        assert await db.check() != []
        assert "kept" in (await db.explain())["housekeeping"]["retention"]
        await db.retention.keep_feed(changes_max=10)
        assert await db.check() == []
        await db.compact()
    async with kept_scene.open() as db:
        assert (await db.retention.refresh()).feed_changes_max == 10


# --- Trimming -----------------------------------------------------------------------------------


async def counted(db: Database) -> int:
    [record] = await engine_of(db).read([layout.SYSTEM_FEED_COUNTED])
    assert record is not None
    return _decode_counted(record.value).rows


async def test_several_that_trim_at_once_keep_what_is_to_be_kept(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        for n in range(0, 2400, 100):
            await db.entries.set_many({f"k{i}": n for i in range(100)})
        await db.retention.keep_feed(changes_max=700)
        oldest: list[int] = []

        async def watching() -> None:
            while True:
                oldest.append(await db._require_shared().feed.oldest())
                await asyncio.sleep(0)

        task = asyncio.ensure_future(watching())
        await asyncio.gather(*(db.compact() for _ in range(3)))
        task.cancel()
        assert len(await rows_of(db, Range.prefix(layout.FEED))) == 700
        assert await counted(db) == 700
        assert oldest == sorted(oldest)


async def test_a_trim_that_was_overtaken_never_turns_the_feed_back(
    kept_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept_scene.open() as db:
        for n in range(30):
            await db.entries.set("a", n)
        await db.retention.keep_feed(changes_max=20)
        give_up = trimming._give_up
        held, go_on = asyncio.Event(), asyncio.Event()

        async def holding(*arguments: Any) -> Any:
            if not held.is_set():
                held.set()
                await go_on.wait()
            return await give_up(*arguments)

        monkeypatch.setattr(trimming, "_give_up", holding)
        slow = asyncio.ensure_future(db.compact())
        await held.wait()
        await db.retention.keep_feed(changes_max=5)
        await db.compact()
        oldest = await db._require_shared().feed.oldest()
        go_on.set()
        await slow
        assert await db._require_shared().feed.oldest() >= oldest
        rows = await rows_of(db, Range.prefix(layout.FEED))
        assert len(rows) == 5 == await counted(db)
        with pytest.raises(Compacted):
            await first(db.watch(since=9), 1)


async def test_keys_that_were_used_once_and_ran_out_leave_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("lasting", 1)
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        before = await rows_of(db)
        for n in range(0, 1500, 300):
            for i in range(300):
                await db.entries.set(f"session/{n + i}:x", "x", ttl=1)
            scene.clock.advance(2)
            assert await db.sweep() == 300
        await db.compact()
        after = await rows_of(db)
        assert len(after) == len(before)
        assert {key for key, _ in after} == {key for key, _ in before}


async def test_a_key_that_ran_out_and_came_back_keeps_its_past(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, ttl=1)
        scene.clock.advance(2)
        await db.sweep()
        await db.entries.set("a", 2)
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        assert len(await listed(db.entries.history("a"))) == 1
        assert (await db.entries.require("a")).metadata.incarnation == 2


# --- Watching -----------------------------------------------------------------------------------


async def test_going_on_inside_a_commit_loses_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.cursor
        await db.entries.set_many({"a": 1, "b": 2, "c": 3})
        await db.entries.set("d", 4)
        whole = await first(db.watch(since=start), 4)
        assert [one.last for one in whole] == [False, False, True, True]
        for number, change in enumerate(whole[:-1]):
            for since in (change.cursor, str(change.cursor), Cursor.parse(str(change.cursor))):
                rest = await first(db.watch(since=since), 3 - number)
                assert [str(one.key) for one in rest] == ["a", "b", "c", "d"][number + 1 :]
                only = await first(db.watch("d", since=since), 1)
                assert [str(one.key) for one in only] == ["d"]


async def test_a_wait_that_times_out_loses_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        watch = db.watch()
        seen: list[int] = []
        writing = asyncio.ensure_future(_write(db, 200))
        async with asyncio.timeout(20):
            while len(seen) < 200:
                try:
                    seen.append((await asyncio.wait_for(anext(watch), 0.002)).after.value)
                except TimeoutError:
                    continue
        await writing
        assert seen == list(range(200))
        assert await watch.poll(0.01) is None
        await db.entries.set("a", "more")
        change = await watch.poll(5)
        assert change is not None
        assert change.after.value == "more"
        await watch.aclose()
        assert await watch.poll(0.01) is None


async def _write(db: Database, count: int) -> None:
    for n in range(count):
        await db.entries.set("a", n)
        await asyncio.sleep(0.0005 if n % 7 else 0.003)


async def test_two_that_take_from_one_watch_share_what_there_is(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.cursor
        for n in range(100):
            await db.entries.set("a", n)
        watch = db.watch(since=start)
        seen: list[int] = []

        async def take() -> None:
            for _ in range(25):
                change = await anext(watch)
                seen.append(change.after.value)

        await asyncio.wait_for(asyncio.gather(*(take() for _ in range(4))), 20)
        assert sorted(seen) == list(range(100))


# --- Big values ---------------------------------------------------------------------------------


def big(n: int) -> dict[str, Any]:
    return {"n": n, "data": bytes([n % 256]) * BIG}


def require_whole(found: Any) -> None:
    assert found["data"] == bytes([found["n"] % 256]) * BIG


class BigWork:
    """Tasks that write, change, read and watch one big value at once.

    Args:
        db: the database.
    """

    key = "files:a"

    def __init__(self, db: Database) -> None:
        self.db = db
        self.done = False

    async def write(self) -> None:
        try:
            for n in range(25):
                await self.db.entries.set(self.key, big(n))
                if n % 9 == 8:
                    await self.db.entries.delete(self.key)
        finally:
            self.done = True

    async def read(self) -> None:
        while not self.done:
            found = await self.db.entries.get(self.key)
            if found is not None:
                require_whole(found.value)
            async for one in self.db.entries.items("files:#"):
                require_whole(one.value)
            await asyncio.sleep(0)

    async def change(self) -> None:
        while not self.done:
            try:
                await self.db.entries.touch(self.key, ttl=1000)
                await self.db.entries.modify(self.key, lambda found: {**found, "touched": True})
            except (KeyNotFound, TypeError):
                await asyncio.sleep(0)

    async def watch(self, since: str) -> None:
        async with self.db.watch(since=since) as changes:
            while not self.done:
                found = await changes.poll(0.05)
                if found is not None and found.after is not None:
                    with contextlib.suppress(VersionNotFound):
                        require_whole(found.after.value)


async def test_big_values_without_a_past_are_read_whole_or_not_at_all(scene: Scene) -> None:
    async with scene.open() as db:
        await db.retention.keep("files", versions=0)
        work = BigWork(db)
        async with asyncio.timeout(50):
            await asyncio.gather(work.write(), work.read(), work.change(), work.watch(db.cursor))


async def test_a_watch_passes_a_big_value_that_is_replaced_while_it_is_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        await db.retention.keep("files", versions=0)
        since = db.cursor
        await db.entries.set("files:a", big(1))
        complete, replaced = BigValues.complete, False

        async def replaced_meanwhile(self: BigValues, entry: Entry[Any]) -> Entry[Any]:
            nonlocal replaced
            if not replaced and str(entry.key) == "files:a":
                replaced = True
                await db.entries.set("files:a", big(2))
            return await complete(self, entry)

        monkeypatch.setattr(BigValues, "complete", replaced_meanwhile)
        changes = await first(db.watch("files:#", since=since), 2)
        assert replaced
        assert changes[0].after is None  # Nobody keeps it any more.
        assert changes[1].after is not None
        assert changes[1].after.value == big(2)


@pytest.mark.parametrize(
    "raised", [StopIteration, GeneratorExit, SystemExit, asyncio.CancelledError, KeyError]
)
async def test_what_a_change_of_a_big_value_raises_reaches_its_caller(
    scene: Scene, raised: type[BaseException]
) -> None:
    async with scene.open() as db:
        await db.entries.set("a", big(1))

        def raising(_: Any) -> Any:
            raise raised

        async with asyncio.timeout(10):
            with pytest.raises((raised, RuntimeError)) as caught:
                await db.entries.modify("a", raising)
            if caught.type is RuntimeError:  # What a coroutine makes of StopIteration.
                assert isinstance(caught.value.__cause__, StopIteration)
            await asyncio.sleep(0.001)  # The task lives on.
            await db.entries.modify("a", lambda _: "small")
