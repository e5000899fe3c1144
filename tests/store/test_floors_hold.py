"""Floor 3 knows many keyspaces and many views: what broke when it knew one, each as a test."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from holdfast.codecs.pattern import Pattern
from holdfast.contract.batch import Batch, Decide, Draft, Need, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    FormatTooNew,
    IntegrityFailed,
    StoreClosed,
    StoreError,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Range, Record
from holdfast.database.handle import Database
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.store import layout
from holdfast.store.change import Change
from holdfast.store.feed_row import Act, FeedPosition, WriteContext, encode_feed_row
from holdfast.store.format import MARKER
from holdfast.store.instances import STUCK_S
from holdfast.store.keyspaces import Keyspace, Keyspaces, KeyspaceSettings
from holdfast.store.plan import Plan, RowChange
from holdfast.store.views import ChangeReader, Progress, Report, ViewKeeper
from tests.store.scene import Scene, engine_of, first, rows_of, storage_of, until

PLAIN = KeyspaceSettings(history="none")
QUIET = KeyspaceSettings(history="none", feed=False)


class RawReader(ChangeReader):
    """Tells the changes of rows that are bytes and nothing else."""

    def __init__(self, raises: BaseException | None) -> None:
        self.raises = raises

    def on(self, moment: Engine) -> ChangeReader:
        return self

    def key(self, packed: bytes) -> Any:
        if self.raises is not None:
            raise self.raises
        return packed

    def segments(self, key: Any) -> tuple[str, ...]:
        return (key.hex(),)

    async def values(self, position: FeedPosition, key: Any) -> tuple[Any, Any]:
        return None, None

    def standing_range(self, pattern: Pattern) -> Range:
        return Range.prefix(b"no row")  # A watch of this view begins with no picture of it.

    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        return [], None


class RawKeeper(ViewKeeper):
    """A view whose rows have no form at all; each of its calls raises what it is told to."""

    def __init__(self, raises: BaseException | None = None) -> None:
        self.raises = raises
        self.asked: list[bytes] = []

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        self.asked += data_keys
        if self.raises is not None:
            raise self.raises
        return 0

    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> None:
        if self.raises is not None:
            raise self.raises
        report.wrong(f"{keyspace.name} is damaged")

    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        return RawReader(self.raises)


async def foreign_row(db: Database, view: str = "raw", key: bytes = b"\xff\0not text") -> Keyspace:
    """A row of another view, with an expiry that is due, and its feed row."""
    keyspace = await db._require_shared().keyspaces.require(view, "one", PLAIN)
    data_key = layout.region(keyspace.number, layout.DATA) + key
    plan = Plan(db._components.clock.now_ms(), WriteContext("ada", "replica 1", comment="why"))
    plan.put(data_key, b"\x01")
    plan.put(layout.expiry_key(plan.now_ms, data_key), b"")
    plan.tell(keyspace.number, Act.SET, key, 0, plan.now_ms)
    await engine_of(db).commit(plan.draft.batch())
    return keyspace


def views_of(db: Database) -> dict[str, ViewKeeper]:
    """The keepers of the database, in a dict that a test may change."""
    shared = db._require_shared()
    if not isinstance(shared.views, dict):
        shared.views = shared.tail._views = dict(shared.views)
    assert isinstance(shared.views, dict)
    return shared.views


RAISED = [
    IntegrityFailed("this row"), ValueError("secret"), StopIteration(), SystemExit(3),
    asyncio.CancelledError(),
]  # fmt: skip


# --- Expiry and housekeeping --------------------------------------------------------------------


@pytest.mark.parametrize("raised", RAISED, ids=lambda one: type(one).__name__)
async def test_a_keeper_that_raises_ends_no_housekeeping(
    scene: Scene, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.open_unchecked(housekeeping=True) as db:
        await foreign_row(db)
        views_of(db)["raw"] = keeper = RawKeeper(raised)
        await db.entries.set("a", 1, ttl=1)
        rounds = db._require_shared().housekeeping
        assert rounds is not None
        await until(lambda: rounds.failures == 1)
        scene.clock.advance(2)
        await until(lambda: _swept(db))
        assert rounds.running
        told = (await db.explain())["housekeeping"]
        assert told["running"]
        assert told["failures"] == 1, (
            "one value that cannot be ended is one failure, not one a round"
        )
        # A coroutine that raises StopIteration raises RuntimeError.
        name = type(raised).__name__.replace("StopIteration", "RuntimeError")
        assert told["last_failure"] == name
        assert "secret" not in caplog.text
        asked = len(keeper.asked)
        scene.clock.advance(STUCK_S)
        await until(lambda: len(keeper.asked) > asked)
    assert not rounds.running


async def _swept(db: Database) -> bool:
    rows = await rows_of(db, Range.prefix(layout.EXPIRY))
    return len(rows) == 1


async def test_one_damaged_value_does_not_keep_the_others_of_its_batch(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        for n in range(50):
            await db.entries.set(f"k{n:02}", n, ttl=1)
        data_key = storage_of(db)._rows.data_key("k17")
        await engine_of(db).commit(Batch([Put(data_key, b"\x01\x04")]))
        scene.clock.advance(2)
        assert await db.sweep() == 49
        assert await db.sweep() == 0


async def test_a_keyspace_of_an_unknown_view_is_kept_and_said_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with scene.open_unchecked() as db:
        start = await db.head()
        keyspace = await foreign_row(db, "of tomorrow")
        before = await rows_of(db, layout.keyspace_range(keyspace.number))
        await db.entries.set("a", 1, ttl=1)
        scene.clock.advance(2)
        assert await db.sweep() == 1
        await db.sweep()
        await db.retention.keep_feed(changes_max=1)
        assert await db.check() == []
        seen = await first(db.watch(view="*", since=start), 2)
        assert (seen[0].view, seen[0].keyspace, seen[0].key) == (
            "of tomorrow", "one", b"\xff\0not text",
        )  # fmt: skip
        assert (seen[0].modified_by, seen[0].origin, seen[0].comment) == ("ada", "replica 1", "why")
        await db.compact()
        assert await rows_of(db, layout.keyspace_range(keyspace.number)) == before
    assert caplog.text.count("of tomorrow") == 1


# --- The past -----------------------------------------------------------------------------------


async def test_a_versioned_key_that_is_no_text_is_trimmed_like_any_other(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        shared = db._require_shared()
        keyspace = await shared.keyspaces.require("raw", "one", KeyspaceSettings())
        for n in range(3):
            plan = Plan(0)
            plan.tell(keyspace.number, Act.SET, b"\xff\xfe", n, 0, (bytes(16), 1, n + 1))
            await engine_of(db).commit(plan.draft.batch())
        await db.retention.keep("", versions=1)
        await db.retention.keep("", versions=2, view="raw", keyspace="one")
        assert shared.retention.policy(keyspace.number, b"\xff\xfe").versions == 2
        assert [(one.view, one.policy.versions) for one in await db.retention.kept()] == [
            ("entries", 1), ("raw", 2),
        ]  # fmt: skip
        await db.retention.keep_feed(changes_max=0)
        assert (await db.compact()).changes == 3
        with pytest.raises(StoreNotFound):
            await db.retention.keep("", versions=1, view="raw", keyspace="another")


class Counted:
    """What commits were decided to write."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.keys_read = 0

    @property
    def rows(self) -> int:
        return sum(len(one.rows) + len(one.appends) for one in self.drafts)

    @property
    def ranges(self) -> int:
        return sum(len(one.ranges) for one in self.drafts)

    def watched(self, decide: Decide) -> Decide:
        def decided(records: list[Record | None], revision: int) -> Draft | Batch | Need | None:
            answer = decide(records, revision)
            if isinstance(answer, Draft):
                self.drafts.append(answer)
            return answer

        return decided


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts what goes into the engines from now on."""
    found = Counted()
    transact, transact_now = EmbeddedEngine.transact, EmbeddedEngine.transact_now

    def later(self: Any, keys: Any, decide: Decide, *, previous: bool = False) -> Any:
        return transact(self, keys, found.watched(decide), previous=previous)

    def now(self: Any, keys: Any, decide: Decide) -> Any:
        return transact_now(self, keys, found.watched(decide))

    monkeypatch.setattr(EmbeddedEngine, "transact", later)
    monkeypatch.setattr(EmbeddedEngine, "transact_now", now)
    return found


async def test_history_that_is_off_costs_less_than_history_that_is_on(
    scene: Scene, counted: Counted
) -> None:
    async with scene.open() as db:
        await db.retention.keep("off", versions=0)
        costs = {}
        for name in ("on:a", "off:a"):
            await db.entries.set(name, 1)
            counted.drafts.clear()
            for n in range(10):
                await db.entries.set(name, n)
            costs[name] = counted.rows
            assert counted.ranges == 0, "deleting a range would flush the whole group"
            counted.drafts.clear()
            await db.entries.delete(name)
            costs[f"delete {name}"] = counted.rows
            assert counted.ranges == 0
        assert costs["on:a"] == 30, "the value, its past, its change"
        assert costs["off:a"] == 20
        assert costs["delete on:a"] == 4, "the row, its past, the grave, the change"
        assert costs["delete off:a"] == 2


async def test_where_the_feed_is_off_nothing_is_told_and_no_cursor_is_lost(
    scene: Scene, counted: Counted
) -> None:
    async with scene.open() as db:
        shared = db._require_shared()
        keyspace = await shared.keyspaces.require("stores", "counters", QUIET)
        counters = await db.stores.get("counters")
        await db.entries.set("a", 1)
        since = db.cursor
        await db.entries.set("a", 2)
        await db.retention.keep_feed(changes_max=1)
        counted.drafts.clear()
        for n in range(200):
            await counters.set(b"n", b"%d" % n)
        assert counted.rows == 200, "a row each and nothing else"
        await db.compact()
        [change] = await first(db.watch(since=since), 1)
        assert change.after.value == 2
        await counters.delete(b"n")
        assert await rows_of(db, layout.keyspace_range(keyspace.number)) == []
        await shared.keyspaces.drop("stores", "counters")
        assert await rows_of(db, Range.prefix(layout.SYSTEM_KEYSPACES_DROPPED)) == []


# --- Keyspaces ----------------------------------------------------------------------------------


async def test_another_processs_keyspaces_are_noticed(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        # As another process has it: a directory of its own on the same rows.
        theirs = Keyspaces(engine_of(db))
        mine = await db.stores.create("s")
        await mine.set(b"k", b"1")
        await theirs.drop("stores", "s")
        assert not await db.stores.exists("s")
        with pytest.raises(StoreNotFound):
            await db.stores.get("s")
        with pytest.raises(StoreNotFound):
            await mine.set(b"k", b"2")
        made = await theirs.create("stores", "s", PLAIN)
        again = await db.stores.get("s")
        await again.set(b"k", b"3")
        assert again._content.space.keyspace.number == made.number


async def test_a_drop_is_told_to_whoever_comes_later(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        store = await db.stores.create("s")
        start = await db.head()
        await store.set(b"k", b"1", ttl=1000, modified_by="ada")
        await db.stores.delete("s")
        assert await rows_of(db, Range.prefix(layout.EXPIRY)) == []
    async with kept_scene.open() as db:
        seen = await first(db.watch("s/#", view="stores", since=start), 2)
        assert [(one.op, one.keyspace, one.key) for one in seen] == [
            ("set", "s", b"k"), ("drop", "s", None),
        ]  # fmt: skip
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        assert await rows_of(db, Range.prefix(layout.SYSTEM_KEYSPACES_DROPPED)) == []


async def test_a_moment_keeps_a_store_that_is_dropped_meanwhile(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        await store.set(b"k", b"1")
        async with await db.snapshot() as view:
            await db.stores.delete("s")
            assert await (await view.stores.get("s")).get(b"k") == b"1"
            assert await view.stores.list() == ["s"]


async def test_one_thread_may_read_the_directory_while_another_forgets_it(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        keyspaces = db._require_shared().keyspaces
        number = (await keyspaces.require("raw", "one", PLAIN)).number
        read = keyspaces._engine.scan
        forgotten = 0

        class Forgetting:
            """The engine, below a directory that somebody else forgets during each read."""

            async def scan(self, range: Range) -> Any:
                nonlocal forgotten
                page = await read(range)
                keyspaces._forget()
                forgotten += 1
                return page

        keyspaces._forget()
        keyspaces._engine = Forgetting()  # type: ignore[assignment]
        found = await keyspaces.by_number(number)
        assert found is not None
        assert (found.name, forgotten) == ("one", 1)
        assert keyspaces._numbers == {}, "what was read before may be old"


# --- Watching and checking ----------------------------------------------------------------------


async def test_a_second_view_is_watched_and_checked(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        views_of(db)["raw"] = RawKeeper()
        start = await db.head()
        await foreign_row(db)
        await db.entries.set("a", 1)
        [change] = await first(db.watch(view="raw", since=start), 1)
        assert (change.view, change.keyspace, change.key) == ("raw", "one", b"\xff\0not text")
        async with db.watch(view="raw") as watch:
            waiting = asyncio.ensure_future(anext(watch))
            await until(lambda: db._require_shared().tail.waiting == 1)
            await foreign_row(db, key=b"another")
            assert (await asyncio.wait_for(waiting, 10)).key == b"another"
        assert await db.check() == ["one is damaged"]


@pytest.mark.parametrize("raised", RAISED[:3], ids=lambda one: type(one).__name__)
async def test_a_view_that_raises_disturbs_no_other_view(
    scene: Scene, raised: BaseException
) -> None:
    async with scene.open_unchecked() as db:
        views_of(db)["raw"] = RawKeeper(raised)
        async with db.watch() as watch, db.watch(view="raw") as theirs:
            waiting = asyncio.ensure_future(anext(watch))
            failing = asyncio.ensure_future(anext(theirs))
            await until(lambda: db._require_shared().tail.waiting == 2)
            await foreign_row(db)
            await db.entries.set("a", 1)
            assert (await asyncio.wait_for(waiting, 10)).after.value == 1
            with pytest.raises((StoreError, ValueError, RuntimeError)):
                await asyncio.wait_for(failing, 10)
        [fault] = await db.check()
        assert "raw 'one'" in fault
        assert "secret" not in fault


@pytest.mark.parametrize("raised", [SystemExit(), KeyboardInterrupt()], ids=repr)
async def test_the_tail_survives_whatever_is_raised_in_it(
    scene: Scene, raised: BaseException
) -> None:
    async with scene.open_unchecked() as db, db.watch() as watch:
        waiting = asyncio.ensure_future(anext(watch))
        tail = db._require_shared().tail
        await until(lambda: tail.waiting == 1)
        after = tail._feed.after

        def failing(since: int) -> Any:
            tail._feed.after = after  # type: ignore[method-assign]
            raise raised

        feed = tail._feed
        tail._feed = type(feed)(feed._engine)  # The watch reads by its own.
        tail._feed.after = failing  # type: ignore[method-assign]
        await db.entries.set("a", 1)
        assert (await asyncio.wait_for(waiting, 10)).after.value == 1
        again = asyncio.ensure_future(anext(watch))
        await until(lambda: tail.waiting == 1)
        await db.entries.set("a", 2)
        assert (await asyncio.wait_for(again, 10)).after.value == 2


async def test_what_a_later_holdfast_does_is_passed_on(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        start = await db.head()
        number = storage_of(db)._rows.keyspace.number
        row = encode_feed_row(9, number, b"\x20a\0", 0, 0, WriteContext(cause=77))  # type: ignore[arg-type]
        plan = Plan(0)
        plan.append(layout.FEED, row)
        await engine_of(db).commit(plan.draft.batch())
        [change] = await first(db.watch(since=start), 1)
        assert (change.op, change.cause, str(change.key)) == ("act-9", "cause-77", "a")


async def test_an_unknown_flag_of_a_stored_value_is_refused(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        await db.entries.set("a", 1)
        data_key = storage_of(db)._rows.data_key("a")
        [record] = await engine_of(db).read([data_key])
        assert record is not None
        damaged = record.value[:1] + bytes([record.value[1] | 0x80]) + record.value[2:]
        await engine_of(db).commit(Batch([Put(data_key, damaged)]))
        with pytest.raises((FormatTooNew, IntegrityFailed)):
            _ = (await db.entries.require("a")).value
        assert await db.check() != []


# --- Transactions -------------------------------------------------------------------------------


async def test_a_write_inside_a_transaction_reads_once(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        engine = engine_of(db)
        read, keys_read = engine.read, 0

        async def counting(keys: Any, *, at: Any = None) -> Any:
            nonlocal keys_read
            keys_read += len(keys)
            return await read(keys, at=at)

        engine.read = counting  # type: ignore[method-assign]
        async with db.transaction() as tx:
            await tx.entries.set("a", 2)
            assert keys_read == 1
            await tx.entries.set("b", 2)
            assert keys_read == 3, "of a new key also the grave"
        del engine.read


async def test_a_transaction_needs_no_snapshots(scene: Scene) -> None:
    from dataclasses import replace

    async with scene.open() as db:
        engine = engine_of(db)
        monkey = pytest.MonkeyPatch()
        lacking = replace(engine.capabilities, snapshots=False)
        with monkey.context() as patch:
            patch.setattr(type(engine), "capabilities", property(lambda _: lacking))
            await db.entries.set("a", 1)
            async with db.transaction() as tx:
                value = (await tx.entries.require("a")).value
                await tx.entries.set("b", value + 1)
        assert (await db.entries.require("b")).value == 2


# --- Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (b"\x00\x01", Unsupported, "format 1"),
        (MARKER + b"\x92\x02\x91\xa5wings", FormatTooNew, "wings"),
        (MARKER + b"\x92\x03\x80", FormatTooNew, "found 3"),
        (MARKER + b"\x91\x03", FormatTooNew, "found 3"),
        (MARKER + b"\xc1", IntegrityFailed, "check"),
        (MARKER, IntegrityFailed, "check"),
        (b"something else", IntegrityFailed, "check"),
    ],
)
async def test_a_format_that_is_not_ours_is_named_and_nothing_is_written(
    kept_scene: Scene, value: bytes, error: type[StoreError], said: str
) -> None:
    async with kept_scene.open_unchecked() as db:
        await db.entries.set("a", 1)
        await engine_of(db).commit(Batch([Put(layout.SYSTEM_FORMAT, value)]))
        rows, make = await rows_of(db), type(engine_of(db))
    with pytest.raises(error, match=said):
        await kept_scene.handle().open()
    engine = make(kept_scene.handle().config, kept_scene.components)
    await engine.open()
    page = await engine.scan(Range())
    await engine.close()
    assert page.rows == rows


async def test_a_derived_row_that_cannot_be_made_fails_the_write_by_its_name(scene: Scene) -> None:
    class Failing:
        name = "index of cities"
        flags = 0
        fence = None

        def plan(self, plan: Plan, change: RowChange) -> None:
            plan.put(b"Xhalf", b"done")
            raise StopIteration("secret")

    from holdfast.records.storage import EngineEntryStorage
    from holdfast.store.versions.plan import VersionPlanner
    from tests.store.scene import core_of

    async with scene.open() as db:
        standing = storage_of(db)
        planner = VersionPlanner(standing._rows, (Failing(),), db.retention)
        storage = EngineEntryStorage(standing._space, standing._rows, planner, standing._values)
        core = core_of(db, storage=storage)
        before = await rows_of(db)
        with pytest.raises(StoreError, match="index of cities") as caught:
            await core.set("a", 1)
        assert "secret" not in str(caught.value)
        assert await rows_of(db) == before
        await db.entries.set("a", 1)


# --- The feed -----------------------------------------------------------------------------------


async def test_a_commit_may_be_given_up_in_parts(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"k{n:02}": n for n in range(20)})
        last = await db.entries.set("last", 1)
        await db.retention.keep_feed(changes_max=5)
        await db.compact()
        assert await db.check() == []
        [change] = await first(db.watch(since=last.revision - 1), 1)
        assert str(change.key) == "last"


async def test_closing_while_a_view_is_watched_wakes_it(scene: Scene) -> None:
    async with scene.open() as db:
        watch = db.watch(view="*")
        waiting = asyncio.ensure_future(anext(watch))
        await until(lambda: db._require_shared().tail.waiting == 1)
    with pytest.raises((StoreClosed, StopAsyncIteration)):
        await asyncio.wait_for(waiting, 10)
