"""Watching: every committed change once, in commit order, resumable, and nothing left behind."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from holdfast import Change, Compacted, Conflict, Cursor
from holdfast.contract.errors import InvalidInput, PatternInvalid, StoreClosed
from tests.store.scene import Scene, first, listed, until


def told(changes: list[Change]) -> list[tuple[str, str, Any, Any]]:
    """(op, key, value before, value after) of each change."""
    return [
        (
            one.op,
            str(one.key),
            None if one.before is None else one.before.value,
            None if one.after is None else one.after.value,
        )
        for one in changes
    ]


def waiting(db: Any) -> int:
    """How many callers wait for a change of the database."""
    waiting: int = db._require_shared().tail.waiting
    return waiting


async def test_a_view_that_is_none_is_refused_and_the_known_ones_are_named(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(
            InvalidInput, match=r"'entires' is unknown.*documents, entries, .*stores"
        ):
            db.watch(view="entires")


@pytest.mark.row("K-061")
async def test_create_update_and_delete_tell_what_was_before_and_after(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        made = await db.entries.set("a:b", 1, modified_by="ada")
        updated = await db.entries.set("a:b", 2, modified_by=7)
        await db.entries.delete("a:b", modified_by="bob")
        changes = await first(db.watch(since=start), 3)
        assert told(changes) == [
            ("set", "a:b", None, 1), ("set", "a:b", 1, 2), ("delete", "a:b", 2, None),
        ]  # fmt: skip
        assert (changes[0].after, changes[1].before) == (made, made)
        assert (changes[1].after, changes[2].before) == (updated, updated)
        assert [one.modified_by for one in changes] == ["ada", 7, "bob"]
        assert [one.revision for one in changes] == [made.revision, updated.revision, db.revision]
        assert [one.cause for one in changes] == ["write"] * 3
        assert changes[0].at == made.metadata.updated_at


async def test_since_is_exclusive_and_every_revision_resumes(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        for n in range(10):
            await db.entries.set("a", n)
        changes = await first(db.watch(since=start), 10)
        for place, change in enumerate(changes[:-1]):
            rest = await first(db.watch(since=change.revision), 9 - place)
            assert rest == changes[place + 1 :]
        for place, change in enumerate(changes[:-1]):
            cursor = str(Cursor.parse(db.cursor)._replace(revision=change.revision))
            assert (await first(db.watch(since=cursor), 1))[0] == changes[place + 1]


async def test_a_watch_waits_for_what_comes(scene: Scene) -> None:
    async with scene.open() as db, db.watch("a/#", since=db.revision) as changes:
        pending = asyncio.ensure_future(anext(changes))
        await until(lambda: waiting(db) == 1)
        await db.entries.set("b:1", 1)
        await db.entries.set("a:1", 2)
        change = await asyncio.wait_for(pending, 10)
        assert told([change]) == [("set", "a:1", None, 2)]


@pytest.mark.parametrize("entered", [False, True], ids=["iterated", "entered"])
async def test_a_watch_from_now_on_tells_what_is_written_after_it_was_asked_for(
    scene: Scene, entered: bool
) -> None:
    async with scene.open() as db:
        await db.entries.set("a", "before")
        watch = db.watch()
        if entered:
            await watch.__aenter__()
        await db.entries.set("a", "after")
        [change] = await first(watch, 1)
        assert told([change]) == [("set", "a", "before", "after")]
        await watch.aclose()


@pytest.mark.row("trap 24")
async def test_a_write_that_fails_tells_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        await db.entries.set("a", 1)
        with pytest.raises(Conflict):
            await db.entries.set("a", 2, if_absent=True)
        with pytest.raises(ZeroDivisionError):
            await db.entries.modify("a", lambda value: value / 0)
        lost = await db.transaction().begin()
        await lost.entries.set("b", await lost.entries.get("a") and 1)
        await db.entries.set("a", 2)
        with pytest.raises(Conflict):
            await lost.commit()
        async with db.transaction() as tx:
            await tx.entries.set("c", 1)
            await tx.rollback()
        assert await db.entries.delete("nope") is False
        await db.entries.set("a", 2, if_changed=True)
        await db.entries.set("last", 1)
        changes = await first(db.watch(since=start), 3)
        assert told(changes) == [
            ("set", "a", None, 1), ("set", "a", 1, 2), ("set", "last", None, 1),
        ]  # fmt: skip


@pytest.mark.row("K-062", "trap 25", "K-115", "K-122")
async def test_before_and_after_chain_over_a_hundred_racing_writers(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        await asyncio.gather(*(db.entries.set("a", n) for n in range(100)))
        changes = await first(db.watch(since=start), 100)
        assert changes[0].before is None
        for earlier, later in pairwise(changes):
            assert later.before == earlier.after
            assert later.before.metadata.version == later.after.metadata.version - 1


@pytest.mark.row("K-115")
async def test_racing_sets_and_deletes_never_tell_a_wrong_before(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision

        async def act(n: int) -> None:
            if n % 3 == 2:
                await db.entries.delete("a")
            else:
                await db.entries.set("a", n)

        await asyncio.gather(*(act(n) for n in range(90)))
        await db.entries.set("end", 1)
        standing = None
        async with db.watch(since=start) as watch:
            async for change in watch:
                if str(change.key) == "end":
                    break
                assert change.before == standing
                standing = change.after
        assert await db.entries.get("a") == standing


async def test_a_snapshot_and_its_marker_come_first_and_leave_no_gap(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"a:{n}": n for n in range(5)})
        await db.entries.delete("a:0")
        await db.entries.set("b:1", 1)
        async with db.watch("a/#", snapshot=True) as watch:
            start = await anext(watch)
            # Written while the snapshot is being read: not in it, and not lost.
            await db.entries.set("a:1", "new")
            await db.entries.set("a:7", "new")
            rest = await first(watch, 6)
            changes = [start, *rest]
        assert told(changes[:4]) == [("set", f"a:{n}", None, n) for n in range(1, 5)]
        assert {one.cause for one in changes[:4]} == {"snapshot"}
        marker = changes[4]
        assert (marker.op, marker.key, marker.before, marker.after) == (
            "snapshot_end",
            None,
            None,
            None,
        )
        assert told(changes[5:]) == [("set", "a:1", 1, "new"), ("set", "a:7", None, "new")]
        assert changes[5].revision == marker.revision + 1


async def test_writers_during_many_snapshots_are_told_exactly_once(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("n", 0)

        async def write() -> None:
            for n in range(1, 61):
                await db.entries.set("n", n)
                await asyncio.sleep(0)

        async def replay() -> list[int]:
            values = []
            async with db.watch("n", snapshot=True) as watch:
                async for change in watch:
                    if change.after is not None:
                        values.append(change.after.value)
                    if values and values[-1] == 60:
                        return values
            raise AssertionError("a watch does not end")

        async with asyncio.timeout(20):
            writer = asyncio.ensure_future(write())
            seen = await asyncio.gather(*(replay() for _ in range(5)))
            await writer
        for values in seen:
            assert values == list(range(values[0], 61))


async def test_a_slow_watcher_misses_nothing_and_holds_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        watch = db.watch(since=db.revision)
        pending = asyncio.ensure_future(anext(watch))
        await until(lambda: waiting(db) == 1)
        for n in range(300):
            await db.entries.set("a", n)
        values = [(await pending).after.value]
        assert waiting(db) == 0
        values += [one.after.value for one in await first(watch, 299)]
        assert values == list(range(300))
        await watch.aclose()


async def test_conflating_gives_the_newest_of_each_key(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        for n in range(50):
            await db.entries.set(f"k:{n % 3}", n)
        await db.entries.delete("k:0")
        changes = await first(db.watch("k/#", since=start, conflate=True), 3)
        assert {str(one.key): one.after and one.after.value for one in changes} == {
            "k:0": None, "k:1": 49, "k:2": 47,
        }  # fmt: skip
        assert [one.revision for one in changes] == sorted(one.revision for one in changes)


async def test_an_abandoned_watch_leaves_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        tasks = [asyncio.ensure_future(anext(db.watch())) for _ in range(20)]
        await until(lambda: waiting(db) == 20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert waiting(db) == 0
        watch = db.watch()
        pending = asyncio.ensure_future(anext(watch))
        await until(lambda: waiting(db) == 1)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        await watch.aclose()
        await watch.aclose()
        assert waiting(db) == 0
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


async def test_closing_the_database_ends_the_waiting(scene: Scene) -> None:
    async with scene.open() as other:
        db = await scene.handle()
        pending = asyncio.ensure_future(anext(db.watch()))
        await until(lambda: waiting(other) == 1)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        await db.close()
        with pytest.raises(StoreClosed):
            db.watch()
    last = await scene.handle()
    pending = asyncio.ensure_future(anext(last.watch()))
    await until(lambda: waiting(last) == 1)
    await last.close()
    with pytest.raises(StoreClosed):
        await pending


async def test_a_watch_goes_on_where_it_stopped_after_a_reopening(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("a", 1)
        cursor = db.cursor
        await db.entries.set("a", 2)
        await db.entries.delete("a")
    async with kept_scene.open() as db:
        await db.entries.set("b", 3)
        changes = await first(db.watch(since=cursor), 3)
        assert told(changes) == [
            ("set", "a", 1, 2), ("delete", "a", 2, None), ("set", "b", None, 3),
        ]  # fmt: skip


async def test_a_cursor_of_another_lineage_is_refused(scene: Scene) -> None:
    async with scene.open() as db:
        mine = Cursor.parse(db.cursor)
        assert mine.revision == db.revision
        with pytest.raises(Compacted) as caught:
            db.watch(since=str(mine._replace(lineage="0" * 32)))
        assert caught.value.lineage == mine.lineage
        assert "snapshot=True" in str(caught.value)


async def test_a_cursor_ahead_of_the_database_is_refused(scene: Scene) -> None:
    async with scene.open() as db:
        for since in (db.revision + 1, 2**62, 2**70):
            with pytest.raises(InvalidInput, match="newest revision"):
                await first(db.watch(since=since), 1)


@pytest.mark.parametrize("since", [-1, True, 1.5, [], "", "x", "a.b", "a.-1"], ids=repr)
async def test_a_cursor_that_cannot_be_is_refused(scene: Scene, since: Any) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput):
            await first(db.watch(since=since), 1)


async def test_since_and_snapshot_exclude_each_other(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput, match="not both"):
            db.watch(since=1, snapshot=True)


@pytest.mark.row("trap 17", "trap 18")
async def test_patterns_choose_by_segments(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        keys = (
            "users",
            "users:1",
            "users/a:1",
            "users/7:settings",
            "usersx:1",
            "a.b",
            "axb",
            "end",
        )
        for key in keys:
            await db.entries.set(key, 1)

        async def matched(pattern: str) -> list[str]:
            found = []
            async with db.watch(f"{pattern}", since=start) as watch:
                pending: list[Change] = []
                async for change in watch:
                    found.append(str(change.key))
                    pending.append(change)
                    if len(found) == expected[pattern]:
                        return found
            raise AssertionError("a watch does not end")

        expected = {"users/#": 4, "users/+": 1, "users/+/settings": 1, "a.b": 1, "#": len(keys)}
        async with asyncio.timeout(20):
            assert await matched("users/#") == ["users", "users:1", "users/a:1", "users/7:settings"]
            assert await matched("users/+") == ["users:1"]
            assert await matched("users/+/settings") == ["users/7:settings"]
            assert await matched("a.b") == ["a.b"]
            assert await matched("#") == list(keys)


@pytest.mark.parametrize("pattern", ["a/#/b", "#/a", "", "a//b"])
async def test_a_pattern_that_cannot_be_is_refused_at_the_call(scene: Scene, pattern: str) -> None:
    async with scene.open() as db:
        with pytest.raises(PatternInvalid):
            db.watch(pattern)


async def test_two_handles_of_one_database_tell_the_same(scene: Scene) -> None:
    async with scene.open() as one, scene.open() as other:
        start = one.revision
        pending = asyncio.ensure_future(first(one.watch(since=start), 2))
        await until(lambda: waiting(one) == 1)
        await other.entries.set("a", 1)
        await one.entries.set("b", 2)
        assert told(await pending) == [("set", "a", None, 1), ("set", "b", None, 2)]
        assert await first(other.watch(since=start), 2) == await pending


async def test_the_changes_of_a_transaction_come_together_and_in_order(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("z", 0)
        start = db.revision
        async with db.transaction() as tx:
            await tx.entries.set("c", 1)
            await tx.entries.set("a", 2)
            await tx.entries.delete("z")
            await tx.entries.set("c", 3)
            await tx.entries.set("b", 4)
        assert db.revision == start + 1
        changes = await first(db.watch(since=start), 5)
        assert told(changes) == [
            ("set", "c", None, 1), ("set", "a", None, 2), ("delete", "z", 0, None),
            ("set", "c", 1, 3), ("set", "b", None, 4),
        ]  # fmt: skip
        assert [one.index for one in changes] == [0, 1, 2, 3, 4]
        assert {one.revision for one in changes} == {start + 1}


async def test_set_many_is_told_in_the_order_given(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        await db.entries.set_many({"z": 1, "a": 2, "m": 3})
        changes = await first(db.watch(since=start), 3)
        assert [(str(one.key), one.index) for one in changes] == [("z", 0), ("a", 1), ("m", 2)]


async def test_causes_are_told(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.set("a", 2)
        start = db.revision
        await db.entries.restore("a", 1)
        await db.entries.rename("a", "b")
        await db.entries.delete("b")
        await db.entries.undelete("b")
        changes = await first(db.watch(since=start), 5)
        assert [(one.op, str(one.key), one.cause) for one in changes] == [
            ("set", "a", "restored"), ("delete", "a", "renamed"), ("set", "b", "renamed"),
            ("delete", "b", "write"), ("set", "b", "restored"),
        ]  # fmt: skip


async def test_big_values_are_told_whole(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        big = "é" * 400_000
        await db.entries.set("a", big)
        await db.entries.set("a", [big, 1])
        changes = await first(db.watch(since=start), 2)
        assert changes[0].after.value == big
        assert changes[1].before.value == big
        assert changes[1].after.value == [big, 1]


async def test_a_long_past_is_told_page_by_page(scene: Scene) -> None:
    async with scene.open() as db:
        start = db.revision
        for block in range(3):
            await db.entries.set_many({f"n:{block}-{n:04}": n for n in range(800)})
        changes = await first(db.watch(since=start), 2400)
        assert [str(one.key) for one in changes] == [
            f"n:{block}-{n:04}" for block in range(3) for n in range(800)
        ]
        assert [one.index for one in changes] == list(range(800)) * 3
        assert len(await listed(db.entries.keys())) == 2400
