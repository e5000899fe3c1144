"""A standby has what its source has, whatever was written and wherever either side was stopped."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

import holdfast
import holdfast.sync
from holdfast.backups.following import Round
from holdfast.backups.standby import OWN
from holdfast.contract.errors import (
    Compacted,
    ConfigInvalid,
    Fenced,
    IntegrityFailed,
    InvalidInput,
    KeyNotFound,
    ReadOnly,
    StoreExists,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Record
from holdfast.database.handle import Database
from holdfast.state import StoreBuilder
from tests.backups.test_backups import filled
from tests.store.scene import PERSISTENT, Scene, engine_of, rows_of, until, url_of


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that a test moves makes rounds look long; no rest follows them."""
    monkeypatch.setattr("holdfast.backups.following.REST", 0)
    monkeypatch.setattr("holdfast.backups.following.WALK_SHARE", 0)


Act = Callable[[Database, random.Random], Awaitable[Any]]


def standby_of(scene: Scene, engine: str = "sqlite") -> str:
    """Where a standby may stand."""
    folder = scene.folder / "standby"
    folder.mkdir(exist_ok=True)
    return url_of(engine, folder)


async def shared_rows(db: Database) -> list[tuple[bytes, Record]]:
    """The rows in which a standby and its source have to agree."""
    return [row for row in await rows_of(db) if not row[0].startswith(OWN)]


async def standing_rows(scene: Scene, url: str) -> list[tuple[bytes, Record]]:
    """The same of a standby, which its own check found right."""
    async with scene.handle(url, read_only=True) as standby:
        assert await standby.check() == []
        return await shared_rows(standby)


class Following:
    """A follower in a task, and its rounds."""

    def __init__(self, scene: Scene, url: str, **options: Any) -> None:
        self.rounds: list[Round] = []
        given: dict[str, Any] = {"interval": 0.001, "components": scene.components} | options
        work = holdfast.follow(scene.url, url, progress=self.rounds.append, **given)
        self.task = asyncio.create_task(work)

    async def __aenter__(self) -> Self:
        return self

    async def level_with(self, db: Database) -> Round:
        """Wait for the round that has all that the database has now."""
        wanted = await db.head()

        def there() -> bool:
            if self.task.done():
                self.task.result()
            last = self.rounds[-1] if self.rounds else None
            return last is not None and last.revision >= wanted and last.complete

        await until(there)
        return self.rounds[-1]

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


# --- What is written, at random ---------------------------------------------------------------


async def some_entries(db: Database, chance: random.Random) -> None:
    key = f"users/active:{chance.randrange(40):03}"
    await db.entries.set(
        key, {"n": chance.random()}, tags=chance.sample(["red", "green", "blue"], 2),
        ttl=chance.choice([None, 50, 5000]),
    )  # fmt: skip
    await db.entries.delete(f"users/active:{chance.randrange(40):03}")


async def a_rename(db: Database, chance: random.Random) -> None:
    key = f"users/active:{chance.randrange(40):03}"
    if await db.entries.has(key):
        await db.entries.rename(key, f"users/moved:{chance.randrange(1_000_000)}")


async def a_big_value(db: Database, chance: random.Random) -> None:
    await db.entries.set(f"big:{chance.randrange(3)}", chance.randbytes(300_000))


async def some_documents(db: Database, chance: random.Random) -> None:
    cities = db.collection("cities")
    await cities.set(f"c{chance.randrange(30)}", {"population": chance.randrange(9), "name": "x y"})
    await cities.delete(f"c{chance.randrange(30)}")


async def an_index(db: Database, chance: random.Random) -> None:
    cities = db.collection("cities")
    name = f"by {chance.randrange(3)}"
    if name in [one.name for one in await cities.list_indexes()]:
        await cities.drop_index(name)
    else:
        await cities.create_index(name, "population")


async def a_store(db: Database, chance: random.Random) -> None:
    name = f"ledger{chance.randrange(3)}"
    if await db.stores.exists(name):
        store = await db.stores.get(name)
        await store.set(chance.randbytes(2), chance.randbytes(20))
        if chance.random() < 0.5:
            await store.save_version()
        if chance.random() < 0.2:
            await db.stores.delete(name)
    else:
        await db.stores.create(name, chance.choice([None, "iavl"]))


async def some_state(db: Database, chance: random.Random) -> None:
    store = StoreBuilder.create().with_adapter(db).with_service("api").build()
    await store.counter.increment(f"hits{chance.randrange(3)}")
    await store.kv.set(f"k{chance.randrange(9)}", chance.random())


async def the_past(db: Database, chance: random.Random) -> None:
    what = chance.randrange(3)
    if what == 0:
        with suppress(KeyNotFound):
            await db.retention.purge(f"users/active:{chance.randrange(40):03}")
    elif what == 1:
        await db.retention.keep("users/active", versions=chance.choice([1, 2, None]))
    else:
        await db.retention.keep_feed(changes_max=chance.choice([20, 100]))
        await db.compact()


ACTS: tuple[Act, ...] = (
    some_entries, some_entries, some_entries, a_rename, a_big_value, some_documents, some_documents,
    an_index, a_store, some_state, the_past,
)  # fmt: skip


@pytest.mark.row("E-133")
@pytest.mark.parametrize("seed", [1])
async def test_a_standby_has_every_row_of_its_source_after_each_round(
    kept_scene: Scene, seed: int
) -> None:
    chance = random.Random(seed)
    url = standby_of(kept_scene)
    async with kept_scene.open() as db:
        await filled(db, 50)
        async with Following(kept_scene, url) as follower:
            await follower.level_with(db)
            for _ in range(30):
                for act in chance.choices(ACTS, k=chance.randrange(1, 5)):
                    await act(db, chance)
                kept_scene.clock.advance(chance.choice([0, 0, 20, 60]))
                await db.sweep()
                await follower.level_with(db)
                assert await standing_rows(kept_scene, url) == await shared_rows(db)
            led = [one for one in follower.rounds if not one.reason]
            assert len(led) > len(follower.rounds) / 3  # Most rounds compare what the feed names.


@pytest.mark.row("E-133")
@pytest.mark.parametrize("into", PERSISTENT)
async def test_a_standby_is_read_meanwhile_and_promoted(scene: Scene, into: str) -> None:
    if scene.engine == "memory":
        async with scene.open(url="memory://?name=followed") as db:
            with pytest.raises(StoreNotFound):
                await holdfast.follow("memory://?name=nobody", standby_of(scene), once=True)
            await db.entries.set("a:1", 1)
            done = await holdfast.follow(db.config, standby_of(scene, into), once=True)
            assert done.revision == db.revision
        return
    url = standby_of(scene, into)
    async with scene.open() as db:
        await filled(db, 20)
        history = [one async for one in db.entries.history("users/active:00003")]
        cursor = db.cursor
        done = await holdfast.follow(scene.url, url, once=True, components=scene.components)
        assert (done.revision, done.rounds) == (await db.head(), 1)
        async with scene.handle(url, read_only=True) as standby:
            assert [one async for one in standby.entries.history("users/active:00003")] == history
            with pytest.raises(ReadOnly):
                await standby.entries.set("a:1", 1)
            seen = standby.cursor
            await standby.backup(scene.folder / "of the standby")
        with pytest.raises(ReadOnly, match="is a standby"):
            await scene.handle(url).open()
        # What is restored from a standby's backup is a standby, too.
        another = f"sqlite:///{scene.folder / 'another.db'}"
        await holdfast.restore([scene.folder / "of the standby"], another)
        with pytest.raises(ReadOnly, match="is a standby"):
            await scene.handle(another).open()
        assert (await holdfast.promote(another)).followed == done.revision
        promoted = await holdfast.promote(url)
        assert promoted.followed == done.revision < promoted.revision
        async with scene.open(url=url) as own:
            assert (await own.entries.set("new:1", 1)).revision == promoted.revision + 1
            # Cursors of the source are refused; those of the standby go on.
            with pytest.raises(Compacted):
                await anext(own.watch(since=cursor))
            change = await anext(own.watch(since=seen))
            assert change.key == "new:1"
        with pytest.raises(StoreExists, match="no standby"):
            await holdfast.follow(scene.url, url, once=True)
        with pytest.raises(InvalidInput, match="is no standby"):
            await holdfast.promote(url)


@pytest.mark.row("E-133")
async def test_the_feed_that_was_trimmed_makes_a_full_round_that_says_so(
    kept_scene: Scene,
) -> None:
    url = standby_of(kept_scene)
    async with kept_scene.open() as db:
        await filled(db, 20)
        async with Following(kept_scene, url) as follower:
            await follower.level_with(db)
            await db.entries.set("a:1", 1)
            assert (await follower.level_with(db)).reason == ""
        # Stopped; meanwhile the source gives up the feed behind the standby's revision.
        for n in range(50):
            await db.entries.set(f"a:{n}", n)
        await db.retention.keep_feed(changes_max=1)
        await db.compact()
        async with Following(kept_scene, url) as follower:
            assert (await follower.level_with(db)).reason == "the follower began"
            await db.entries.set("a:1", 2)
            assert (await follower.level_with(db)).reason == ""
            await db.entries.set("a:1", 3)
            await db.compact()
            done = await follower.level_with(db)
            assert "begin of the feed changed" in done.reason
        assert await standing_rows(kept_scene, url) == await shared_rows(db)


async def test_what_nothing_tells_of_comes_with_the_next_walk_over_everything(
    kept_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.backups.touched.CHANGES_MAX", 10)
    url = standby_of(kept_scene)
    async with kept_scene.open_unchecked() as db:
        await db.entries.set("a:1", 1)
        async with Following(kept_scene, url) as follower:
            await follower.level_with(db)
            rows = await rows_of(db)
            secret = next(key for key, _ in rows if key.startswith(b"K"))
            await db.entries.set("a:2", 1)
            await follower.level_with(db)
            kept_scene.clock.advance(301)
            await db.entries.set("a:3", 1)
            assert (await follower.level_with(db)).reason == "it was long ago"
            await db.entries.set_many({f"many:{n}": n for n in range(11)})
            assert "more than 10 changes" in (await follower.level_with(db)).reason
        assert secret in dict(await standing_rows(kept_scene, url))


async def test_a_follower_that_is_not_the_standbys_any_more_ends(kept_scene: Scene) -> None:
    url = standby_of(kept_scene)
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        async with Following(kept_scene, url) as first:
            await first.level_with(db)
            async with Following(kept_scene, url) as second:
                await second.level_with(db)
                await db.entries.set("a:1", 2)
                with pytest.raises(Fenced, match="another follower"):
                    await first.task
                await second.level_with(db)
                await holdfast.promote(url)
                await db.entries.set("a:1", 3)
                with pytest.raises(Fenced, match="was promoted"):
                    await second.task
        async with kept_scene.open(url=url) as own:
            assert (await own.entries.require("a:1")).value == 2


async def test_addresses_that_cannot_be_followed_are_refused(
    kept_scene: Scene, tmp_path: Path
) -> None:
    url = standby_of(kept_scene)
    async with kept_scene.open() as db:
        await db.entries.set("a:1", 1)
        for target, error, words in (
            (kept_scene.url, InvalidInput, "cannot follow itself"),
            ("memory://", ConfigInvalid, "in memory"),
            (f"{url}?read_only=true", Unsupported, "takes no rows"),
        ):
            with pytest.raises(error, match=words):
                await holdfast.follow(kept_scene.url, target, once=True)
        for interval in (0, -1.0, timedelta(0)):
            with pytest.raises(InvalidInput, match="interval"):
                await holdfast.follow(kept_scene.url, url, interval=interval, once=True)
        await holdfast.follow(kept_scene.url, url, once=True)
    async with kept_scene.open(url=f"sqlite:///{tmp_path / 'other.db'}") as other:
        await other.entries.set("a:1", 1)
        with pytest.raises(Compacted, match="follows another database"):
            await holdfast.follow(other.config, url, once=True)
        with pytest.raises(StoreExists):
            await holdfast.follow(kept_scene.url, other.config, once=True)


async def test_a_source_that_goes_away_ends_its_follower(tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    with holdfast.sync.open(f"sqlite:///{source}") as db:
        db.entries.set("a:1", 1)
    rounds: list[Round] = []
    work = holdfast.follow(
        f"sqlite:///{source}", f"sqlite:///{tmp_path / 'standby.db'}", interval=0.01,
        progress=rounds.append,
    )  # fmt: skip
    task = asyncio.create_task(work)
    await until(lambda: bool(rounds))
    for ending in ("", "-wal", "-shm"):
        source.with_name(f"source.db{ending}").unlink(missing_ok=True)
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        await task


async def test_a_round_of_several_steps_is_whole_only_at_its_end(
    kept_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.backups.following.STEP_ROWS", 50)
    url = standby_of(kept_scene)
    async with kept_scene.open() as db:
        await filled(db, 100)
        await holdfast.follow(kept_scene.url, url, once=True)
        await db.entries.set_many({f"users/active:{n:05}": n for n in range(2_000)})
        loads = 0
        from holdfast.engines.sqlite import SqliteEngine

        load = SqliteEngine.load

        async def breaking(self: Any, rows: Any, **options: Any) -> None:
            nonlocal loads
            loads += 1
            if loads == 3:
                raise KeyError("pulled")
            await load(self, rows, **options)

        with monkeypatch.context() as patch:
            patch.setattr(SqliteEngine, "load", breaking)
            with pytest.raises(KeyError):
                await holdfast.follow(kept_scene.url, url, once=True)
        with pytest.raises(IntegrityFailed, match="in the middle of a round"):
            await holdfast.promote(url)
        await holdfast.follow(kept_scene.url, url, once=True)
        assert await standing_rows(kept_scene, url) == await shared_rows(db)
        await holdfast.promote(url)


async def test_a_snapshot_that_ends_too_early_begins_the_round_anew(
    kept_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.contract.errors import StoreClosed

    url = standby_of(kept_scene)
    async with kept_scene.open() as db:
        await filled(db, 10)
        await db.entries.set_many({f"many:{n}": n for n in range(1_000)})
        engine = engine_of(db)
        inner = getattr(engine, "inner", engine)
        scan, calls = inner.scan, 0

        async def aging(range: Any, **options: Any) -> Any:
            nonlocal calls
            calls += options.get("at") is not None
            if calls in (2, 5):
                calls += 1
                raise StoreClosed("the snapshot was older than snapshot_age_max")
            return await scan(range, **options)

        with monkeypatch.context() as patch:
            patch.setattr(inner, "scan", aging)
            await holdfast.follow(kept_scene.url, url, once=True, components=kept_scene.components)
        assert calls > 5
        assert await standing_rows(kept_scene, url) == await shared_rows(db)


FOLLOWER = """
import sys, holdfast.sync
source, target = sys.argv[1:]

def told(one):
    print(one.revision, flush=True)

holdfast.sync.follow(source, target, interval=0.001, progress=told)
"""
WRITER = """
import sys, time, holdfast.sync
with holdfast.sync.open(sys.argv[1]) as db:
    n = db.entries.count()
    print("writing", flush=True)
    while True:
        db.entries.set_many({f"k:{n % 70}:{m}": [n, "x" * 300] for m in range(5)})
        db.entries.delete(f"k:{(n + 35) % 70}:1")
        n += 1
        time.sleep(0.005)
"""


@contextmanager
def started(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of that code, which ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.row("E-133")
@pytest.mark.parametrize("victim", ["follower", "writer", "both"])
def test_killed_on_either_side_it_goes_on_without_loss_or_duplicate(
    tmp_path: Path, victim: str
) -> None:
    url, target = f"lmdb:///{tmp_path / 'source'}", f"lmdb:///{tmp_path / 'standby'}"
    with started(WRITER, url) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline()  # There is a source.
        with started(FOLLOWER, url, target) as follower:
            assert follower.stdout is not None
            reached = 0
            for _ in range(5):
                # Killed in the middle of whatever comes next.
                reached = int(follower.stdout.readline())
            if victim != "writer":
                follower.kill()
            if victim != "follower":
                writer.kill()
                writer.wait()
            if victim == "writer":
                with holdfast.sync.open(url, read_only=True) as db:
                    wanted = db.revision
                while reached < wanted:
                    reached = int(follower.stdout.readline())
    holdfast.sync.follow(url, target, once=True)
    with holdfast.sync.open(url) as db, holdfast.sync.open(target, read_only=True) as standby:
        assert standby.check() == []
        assert standby.revision <= db.revision
        keys = list(db.entries.keys("k/#"))
        assert list(standby.entries.keys("k/#")) == keys
        changes = [(one.revision, one.index) for one in read_all(db)]
        assert [(one.revision, one.index) for one in read_all(standby)] == changes
        assert len(set(changes)) == len(changes) > 0


def read_all(db: holdfast.sync.Database) -> list[Any]:
    """Every change that the feed has."""
    found = []
    with db.watch("#", since=0) as watch:
        while (change := watch.poll(0)) is not None:
            found.append(change)
    return found


def test_an_interrupt_ends_a_follower_cleanly(tmp_path: Path) -> None:
    url, target = f"sqlite:///{tmp_path / 'source'}", f"sqlite:///{tmp_path / 'standby'}"
    with holdfast.sync.open(url) as db:
        db.entries.set("a:1", 1)
        with started(FOLLOWER, url, target) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline()
            for _ in range(20):
                # One that comes where Python lets go of an object is swallowed: people press again.
                follower.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    assert follower.wait(2) != 0
                    break
            assert follower.poll() is not None
        assert holdfast.sync.promote(target).followed == db.revision
