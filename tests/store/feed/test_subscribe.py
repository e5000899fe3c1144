"""Subscriptions of a database: every commit, whole, in order, before the writer goes on."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from holdfast import Change, Conflict
from holdfast.contract.errors import StoreClosed
from holdfast.database.handle import Database
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.records.decorators.base import VERBS
from holdfast.records.decorators.evented import Evented
from holdfast.records.decorators.read_only import ReadOnlyStore
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Write
from holdfast.store.feed import dispatcher as dispatching
from tests.store.scene import Scene, engine_of, first, until


def told(changes: Sequence[Change]) -> list[tuple[str, str, Any, Any]]:
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


def waiting(db: Database) -> dict[object, None]:
    engine = engine_of(db)
    assert isinstance(engine, EmbeddedEngine)
    return engine._watcher._waiting


@pytest.mark.row("K-061")
async def test_create_update_and_delete_tell_what_was_before_and_after(scene: Scene) -> None:
    async with scene.open() as db:
        seen: list[Change] = []
        db.entries.subscribe("a:b", seen.append)
        made = await db.entries.set("a:b", 1, modified_by="ada")
        updated = await db.entries.set("a:b", 2, modified_by=7)
        await db.entries.delete("a:b", modified_by="bob")
        assert told(seen) == [
            ("set", "a:b", None, 1), ("set", "a:b", 1, 2), ("delete", "a:b", 2, None),
        ]  # fmt: skip
        assert (seen[0].after, seen[1].before) == (made, made)
        assert (seen[1].after, seen[2].before) == (updated, updated)
        assert [one.modified_by for one in seen] == ["ada", 7, "bob"]
        assert seen[0].key == "a:b"
        assert type(seen[0].key).__name__ == "StoreKey"


@pytest.mark.row("K-080")
async def test_a_plain_callback_runs_before_the_writer_goes_on(scene: Scene) -> None:
    async with scene.open() as db:
        order: list[str] = []
        db.entries.subscribe("#", lambda one: order.append(f"emit {one.key}"))
        entry = await db.entries.set("a", 1)
        order.append("done")
        assert entry.value == 1
        await db.entries.set_many({"b": 1, "c": 2})
        order.append("many done")
        await db.entries.delete("a")
        order.append("deleted")
        async with db.transaction() as tx:
            await tx.entries.set("d", 1)
            await tx.entries.delete("b")
            order.append("in transaction")
        order.append("committed")
        assert order == [
            "emit a", "done", "emit b", "emit c", "many done", "emit a", "deleted",
            "in transaction", "emit d", "emit b", "committed",
        ]  # fmt: skip


async def test_what_subscribers_see_is_what_the_feed_tells(scene: Scene) -> None:
    """Every kind of write, delivered from outcomes or read from the feed, makes equal changes."""
    async with scene.open() as db:
        start = db.revision
        seen: list[Change] = []
        db.entries.subscribe("#", seen.append)
        entries = db.entries
        await entries.set("a", 1, modified_by="ada", comment="c", tags=["t"])
        await entries.set("a", {"x": [1]}, ttl=60)
        await entries.modify("a", lambda value: {**value, "y": 2})
        await entries.touch("a", ttl=120)
        await entries.set_many({"b": 1, "c": 2, "a": 3})
        await entries.rename("b", "moved")
        await entries.restore("a", 1)
        await entries.delete("a")
        await entries.undelete("a")
        await entries.set("short", 1, ttl=5)
        scene.clock.advance(10)
        await entries.set("short", 2)
        await entries.set("short", 3, ttl=5)
        scene.clock.advance(10)
        await db.sweep()
        big = "x" * 600_000
        await entries.set("big", big)
        await entries.set("big", big + "y")
        await entries.set("big", 1)
        await entries.set("a", 3, if_changed=True)
        await entries.delete_many(["a", "c", "nope"])
        async with db.transaction() as tx:
            await tx.entries.set("t:1", 1)
            await tx.entries.set("t:2", 2)
        await until(lambda: seen[-1].revision == db.revision)
        fed = await first(db.watch("#", since=start), len(seen))
        assert seen == fed
        assert told(seen) == told(fed)
        assert [one.cause for one in seen].count("expired") == 2
        assert len({(one.revision, one.index) for one in seen}) == len(seen)


@pytest.mark.row("K-069", "trap 24")
async def test_what_fails_or_is_rolled_back_emits_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        seen: list[Change] = []
        await db.entries.set("a", 1)
        db.entries.subscribe("#", seen.append)
        with pytest.raises(Conflict):
            await db.entries.set("a", 2, if_absent=True)
        with pytest.raises(ZeroDivisionError):
            await db.entries.modify("a", lambda value: value / 0)
        async with db.transaction() as tx:
            await tx.entries.set("b", 1)
            await tx.rollback()
        lost = await db.transaction().begin()
        await lost.entries.set("c", await lost.entries.get("a") and 1)
        await db.entries.set("a", 2)
        with pytest.raises(Conflict):
            await lost.commit()
        await db.entries.set("last", 1)
        assert told(seen) == [("set", "a", 1, 2), ("set", "last", None, 1)]


@pytest.mark.row("K-069")
async def test_an_inner_store_that_raises_emits_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        assert db._entries is not None
        evented = Evented(ReadOnlyStore(db.entries), db._entries.events)
        seen: list[Change] = []
        evented.subscribe("#", seen.append)
        with pytest.raises(Exception, match="reading"):
            await evented.set("a", 1)
        await asyncio.sleep(0.01)
        assert seen == []


@pytest.mark.row("K-070")
async def test_deleting_what_is_not_there_emits_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        seen: list[Change] = []
        db.entries.subscribe("#", seen.append)
        await db.entries.set("a", 1)
        await db.entries.delete("a")
        assert await db.entries.delete("a") is False
        await db.entries.set("end", 1)
        assert [(one.op, str(one.key)) for one in seen] == [
            ("set", "a"), ("delete", "a"), ("set", "end"),
        ]  # fmt: skip


@pytest.mark.row("K-062", "K-122", "trap 25")
async def test_racing_writes_chain_before_and_after(scene: Scene) -> None:
    async with scene.open() as db, scene.open() as other:
        seen: list[Change] = []
        db.entries.subscribe("#", seen.append)
        await asyncio.gather(
            *((db if n % 3 else other).entries.set("a:1", n) for n in range(100)),
        )
        await until(lambda: len(seen) == 100)
        versions = [
            (one.before.metadata.version if one.before else 0, one.after.metadata.version)
            for one in seen
            if one.after is not None
        ]
        assert versions == [(n, n + 1) for n in range(100)]
        assert [one.revision for one in seen] == sorted(one.revision for one in seen)


@pytest.mark.row("K-122")
async def test_the_decorator_reads_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        inner = db.entries.inner  # type: ignore[attr-defined]
        called: list[str] = []

        class Spy(ReadOnlyStore):
            async def write(self, writes: Sequence[Write]) -> list[Outcome]:
                called.append("write")
                return await self.inner.write(writes)

        def spied(verb: str) -> Callable[..., Any]:
            def call(*arguments: Any, **settings: Any) -> Any:
                called.append(verb)
                return getattr(inner, verb)(*arguments, **settings)

            return call

        spy = Spy(inner)
        for verb in VERBS:
            if verb != "write":
                setattr(spy, verb, spied(verb))
        assert db._entries is not None
        evented = Evented(spy, db._entries.events)
        seen: list[Change] = []
        evented.subscribe("#", seen.append)
        reads: list[int] = []
        source = db._entries.events._source
        after = source.after

        def counted(since: int) -> Any:
            reads.append(since)
            return after(since)

        source.after = counted  # type: ignore[method-assign]
        for n in range(5):
            await evented.set("a", n)
        assert called == ["write"] * 5
        assert [one.before and one.before.value for one in seen] == [None, 0, 1, 2, 3]
        assert reads == [], "from the outcomes, not from the feed"
        del source.after


async def test_each_subscriber_holds_values_of_its_own(scene: Scene) -> None:
    async with scene.open() as db:
        seen: list[Change] = []

        def spoiling(one: Change) -> None:
            assert one.after is not None
            one.after.value["spoilt"] = True
            if one.before is not None:
                one.before.value["spoilt"] = True

        db.entries.subscribe("#", spoiling)
        db.entries.subscribe("#", seen.append)
        db.entries.subscribe("#", spoiling)
        entry = await db.entries.set("a", {"n": 1})
        assert entry.value == {"n": 1}
        await db.entries.set("a", {"n": 2})
        assert told(seen) == [
            ("set", "a", None, {"n": 1}), ("set", "a", {"n": 1}, {"n": 2}),
        ]  # fmt: skip
        assert (await db.entries.require("a")).value == {"n": 2}


async def test_commits_of_other_handles_arrive_in_order(scene: Scene) -> None:
    async with scene.open() as db, scene.open() as other:
        seen: list[int] = []
        db.entries.subscribe("#", lambda one: seen.append(one.revision))
        wrote = []
        for n in range(30):
            writer = other if n % 2 else db
            wrote.append((await writer.entries.set(f"a:{n % 3}", n)).revision)
            if writer is db:
                assert seen == wrote, "up to its own commit, whoever made the others"
        await until(lambda: seen == wrote)


WRITER = """
import sys, holdfast.sync
with holdfast.sync.open(sys.argv[1]) as db:
    for n in range(40):
        if n % 10 == 9:
            with db.transaction() as tx:
                tx.entries.set("p:1", n)
                tx.entries.set("p:2", n)
        else:
            db.entries.set("p:1", n)
"""


async def test_commits_of_another_process_arrive_whole_and_in_order(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        seen: list[Change] = []
        db.entries.subscribe("#", seen.append)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, kept_scene.url)
        for n in range(20):
            await db.entries.set("own", n)
            await asyncio.sleep(0)
        assert await process.wait() == 0
        await until(lambda: len(seen) == 64)
        places = [(one.revision, one.index) for one in seen]
        assert places == sorted(set(places))
        fed = await first(db.watch("#", since=seen[0].revision - 1), 64)
        assert seen == fed


async def test_a_transaction_arrives_together(scene: Scene) -> None:
    async with scene.open() as db:
        seen: list[Change] = []
        db.entries.subscribe("#", seen.append)

        async def in_transaction(name: str) -> None:
            async with db.transaction() as tx:
                for n in range(5):
                    await tx.entries.set(f"{name}:{n}", n)
                    await asyncio.sleep(0)

        await asyncio.gather(*(in_transaction(f"t{n}") for n in range(8)))
        assert [one.index for one in seen] == list(range(5)) * 8
        assert [one.revision for one in seen] == sorted(one.revision for one in seen)
        for start in range(0, 40, 5):
            assert len({one.key.namespace for one in seen[start : start + 5] if one.key}) == 1


async def test_who_subscribes_gets_what_comes_after(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        seen: list[Any] = []
        late: list[Any] = []

        def inviting(one: Change) -> None:
            seen.append(one.index)
            if len(seen) == 1:
                db.entries.subscribe("#", lambda two: late.append(two.revision))

        db.entries.subscribe("#", inviting)
        await db.entries.set_many({"a": 2, "b": 2, "c": 2})
        assert (seen, late) == ([0, 1, 2], [])
        entry = await db.entries.set("a", 3)
        assert late == [entry.revision]


async def test_a_coroutine_function_is_called_one_change_at_a_time(scene: Scene) -> None:
    async with scene.open() as db:
        running: list[int] = []
        seen: list[int] = []

        async def callback(one: Change) -> None:
            assert one.after is not None
            running.append(1)
            assert len(running) == 1
            await asyncio.sleep(0)
            if one.after.value == 3:
                running.pop()
                raise ValueError
            seen.append(one.after.value)
            # To write from here is fine: it waits for nobody.
            if one.after.value < 5:
                await db.entries.set("b", one.after.value + 100)
            running.pop()

        db.entries.subscribe("a", callback)
        for n in range(10):
            await db.entries.set("a", n)
        await until(lambda: len(seen) == 9)
        assert seen == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        [facts] = db.subscriptions()
        assert (facts.mode, facts.delivered, facts.failed) == ("task", 9, 1)
        await until(lambda: not db._entries.events._events._tasks)  # type: ignore[union-attr]


async def test_a_writer_that_is_cancelled_takes_nothing_along(scene: Scene) -> None:
    async with scene.open() as db, scene.open() as other:
        seen: list[int] = []
        db.entries.subscribe("#", lambda one: seen.append(one.revision))
        wrote: list[int] = []
        for n in range(20):
            wrote.append((await other.entries.set("a", n)).revision)
            writing = asyncio.ensure_future(db.entries.set("b", n))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        wrote.append((await db.entries.set("end", 1)).revision)
        await until(lambda: bool(seen) and seen[-1] == wrote[-1])
        assert set(wrote) <= set(seen)
        assert seen == sorted(set(seen))


async def test_nothing_waits_without_subscribers(scene: Scene) -> None:
    async with scene.open() as db:
        assert not waiting(db)
        before = asyncio.all_tasks()
        stops = [db.entries.subscribe(f"a:{n}", print) for n in range(3)]
        await until(lambda: len(waiting(db)) == 1)
        for stop in stops:
            stop()
        await until(lambda: not waiting(db) and asyncio.all_tasks() == before)
        assert db.subscriptions() == []


async def test_close_ends_delivery_and_leaves_nothing(scene: Scene) -> None:
    before = asyncio.all_tasks()
    seen: list[Change] = []
    async with scene.open() as other:
        async with scene.open() as db:
            entries = db.entries

            async def endless(_: Change) -> None:
                await asyncio.Event().wait()

            entries.subscribe("#", seen.append)
            stop = entries.subscribe("#", endless)
            await entries.set("a", 1)
        await other.entries.set("a", 2)
        assert len(seen) == 1
        stop()
        with pytest.raises(StoreClosed):
            entries.subscribe("#", print)
        assert asyncio.all_tasks() == before


async def test_a_transaction_view_hears_of_nothing_before_the_commit(scene: Scene) -> None:
    async with scene.open() as db:
        evented = db.entries
        assert isinstance(evented, Evented)
        seen: list[Change] = []
        evented.subscribe("#", seen.append)
        async with db.transaction() as tx:
            around = evented.around(tx.entries)
            await around.set("a", 1)
            assert seen == []
            assert "Evented" in repr(around)
        assert told(seen) == [("set", "a", None, 1)]


async def test_the_stack_is_visible(scene: Scene) -> None:
    async with scene.open() as db:
        assert repr(db.entries).startswith("Evented(")
        assert (await db.explain())["stack"][0].startswith("Evented(")


async def test_an_unreadable_feed_does_not_fail_the_writer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatching, "RETRY_S", 0.01)
    async with scene.open() as db:
        seen: list[str] = []
        db.entries.subscribe("#", lambda one: seen.append(one.op))
        await db.entries.set("a", 1)
        engine = engine_of(db)
        scan = engine.scan
        failures = [Conflict("not now"), Conflict("nor now")]

        async def failing(*arguments: Any, **settings: Any) -> Any:
            if failures:
                raise failures.pop()
            return await scan(*arguments, **settings)

        monkeypatch.setattr(engine, "scan", failing)
        assert await db.entries.delete("a") is True
        await until(lambda: seen == ["set", "delete"])
        assert "wait" in caplog.text
