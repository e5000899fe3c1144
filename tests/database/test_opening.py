"""Opening and closing: one engine for each database in a process, and nobody in the wrong place."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import (
    ConfigInvalid,
    DriverMissing,
    EngineNotFound,
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    ReadOnly,
    StoreClosed,
    StoreError,
    StoreNotFound,
    WrongContext,
)
from holdfast.database.handle import Database
from holdfast.store import layout
from holdfast.store.format import FORMAT, MARKER
from tests.store.scene import Scene, engine_of, first, listed
from tests.tidy import repository

SOURCE = Path(holdfast.__file__).parents[1]

#: Modules that a database which does not need them must not load.
FOREIGN = {
    "redis", "psycopg", "asyncpg", "starlette", "uvicorn", "websockets", "httpx", "aiohttp",
    "jsonschema", "jsonschema_rs", "pydantic", "typer", "click", "rich", "google.protobuf",
    "rocksdict", "plyvel", "cryptography", "neo4j", "opentelemetry", "prometheus_client",
    "zstandard", "lz4", "cramjam", "hypothesis", "pytest",
}  # fmt: skip


def python(code: str, *arguments: str, environment: dict[str, str] | None = None) -> Any:
    """What the code prints as JSON, run by a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**(environment or os.environ), "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_handles_on_one_database_share_its_engine_until_the_last_closes(
    scene: Scene,
) -> None:
    one = await scene.handle()
    second = await scene.handle()
    third = scene.handle()
    assert engine_of(one) is engine_of(second)
    await one.entries.set("a", 1)
    assert (await second.entries.require("a")).value == 1
    engine = engine_of(one)
    await one.close()
    await one.close()
    await third.open()
    assert engine_of(third) is engine
    await second.entries.set("a", 2)
    await second.close()
    assert (await third.entries.require("a")).value == 2
    await third.close()
    with pytest.raises(StoreClosed):
        await engine.head()
    async with scene.open() as again:
        assert engine_of(again) is not engine


async def test_handles_that_open_at_once_share_one_engine(scene: Scene) -> None:
    handles = [scene.handle() for _ in range(10)]
    await asyncio.gather(*(handle.open() for handle in handles))
    assert len({id(engine_of(handle)) for handle in handles}) == 1
    await asyncio.gather(*(handle.close() for handle in handles[:-1]))
    assert await handles[-1].check() == []
    await handles[-1].close()


async def test_a_handle_whose_opening_was_given_up_keeps_nothing_open(scene: Scene) -> None:
    one = scene.handle()
    opening = [asyncio.ensure_future(one.open())]
    opening += [asyncio.ensure_future(scene.handle().open()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in opening[1:]:
        task.cancel()
    opened = await asyncio.gather(*opening, return_exceptions=True)
    engine = engine_of(one)
    for other in opened[1:]:
        if isinstance(other, Database):  # It was open before the cancellation reached it.
            await other.close()
    await one.close()
    with pytest.raises(StoreClosed):
        await engine.head()


async def test_one_path_spelled_two_ways_is_one_database(
    kept_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept_scene.folder)
    async with kept_scene.open() as db:
        other = await kept_scene.handle(f"{kept_scene.engine}:///sub/../app.db")
        assert engine_of(other) is engine_of(db)
        await other.close()


async def test_a_memory_database_without_a_name_is_its_handles_own() -> None:
    async with holdfast.open("memory://") as one, holdfast.open("memory://") as other:
        await one.entries.set("a", 1)
        assert await other.entries.get("a") is None
        assert one.cursor != other.cursor


async def test_other_settings_are_refused_by_name(scene: Scene) -> None:
    join = "&" if "?" in scene.url else "?"
    async with scene.open() as db:
        with pytest.raises(ConfigInvalid, match="flush_interval") as caught:
            await scene.handle(f"{scene.url}{join}flush_interval=3s").open()
        assert caught.value.parameters == ["flush_interval"]
        await db.entries.set("a", 1)
        again = await scene.handle()
        await again.close()
    changed = await scene.handle(f"{scene.url}{join}flush_interval=3s")
    await changed.close()


async def test_a_read_only_handle_beside_a_writing_one(scene: Scene) -> None:
    join = "&" if "?" in scene.url else "?"
    async with scene.open() as db:
        reader = await scene.handle(f"{scene.url}{join}read_only=true")
        await db.entries.set("a", 1, ttl=5)
        assert (await reader.entries.require("a")).value == 1
        assert not reader.capabilities.writable
        for write in (
            reader.entries.set("a", 2), reader.entries.delete("a"),
            reader.entries.set_many({"b": 1}), reader.entries.modify("a", str),
        ):  # fmt: skip
            with pytest.raises(ReadOnly):
                await write
        await reader.close()
        assert (await db.entries.require("a")).value == 1


async def test_reading_only_opens_what_exists_and_changes_nothing(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("a", 1)
        head = db.revision
    reader = await kept_scene.handle(f"{kept_scene.url}?read_only=true")
    assert (await reader.entries.require("a")).value == 1
    assert [str(key) for key in await listed(reader.entries.keys())] == ["a"]
    with pytest.raises(ReadOnly):
        await reader.entries.set("a", 2)
    # The engine below was opened for reading: nobody can write through it in this process.
    with pytest.raises(ConfigInvalid, match="read_only"):
        await kept_scene.handle().open()
    await reader.close()
    async with kept_scene.open() as db:
        assert db.revision == head


@pytest.mark.row("E-049")
@pytest.mark.parametrize("query", ["create=false", "read_only=true"])
async def test_what_must_exist_and_does_not_is_not_found(kept_scene: Scene, query: str) -> None:
    with pytest.raises(StoreNotFound):
        await kept_scene.handle(f"{kept_scene.url}?{query}").open()
    assert list(kept_scene.folder.iterdir()) == []
    async with kept_scene.open() as db:
        assert await db.entries.count() == 0


@pytest.mark.row("E-047")
@pytest.mark.parametrize("url", ["nosuch://x", "LMDB:///app", "postgres+nosuch://h/db"])
def test_an_unknown_scheme_names_the_known_ones(url: str) -> None:
    with pytest.raises(EngineNotFound, match=r"lmdb://.*memory://.*sqlite://") as caught:
        holdfast.open(url)
    assert caught.value.scheme == url.partition(":")[0]


@pytest.mark.parametrize("address", ["", "app.db", "://x", "lmdb:/app", 5, None, b"memory://"])
def test_what_is_no_address_is_refused(address: Any) -> None:
    with pytest.raises(ConfigInvalid):
        holdfast.open(address)


@pytest.mark.parametrize("option", [{"serializer": "pickle"}, {"compression": "rar"}])
def test_an_unknown_format_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=next(iter(option))):
        holdfast.open("memory://", **option)


def test_a_missing_driver_names_the_extra() -> None:
    told = python(
        """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "lmdb":
            raise ModuleNotFoundError("No module named 'lmdb'", name="lmdb")
sys.meta_path.insert(0, Blocker())
import holdfast
from holdfast.contract.errors import DriverMissing
try:
    holdfast.open("lmdb:///app")
except DriverMissing as error:
    print(json.dumps([str(error), error.extra, type(error.__cause__).__name__]))
"""
    )
    assert 'pip install "holdfast-db[lmdb]"' in told[0]
    assert told[1:] == ["lmdb", "ModuleNotFoundError"]


def test_a_fault_of_our_own_is_not_called_a_missing_driver() -> None:
    told = python(
        """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "holdfast.engines.sqlite.tables":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import holdfast
try:
    holdfast.open("sqlite:///app")
except Exception as error:
    print(json.dumps([type(error).__name__, error.name]))
"""
    )
    assert told == ["ModuleNotFoundError", "holdfast.engines.sqlite.tables"]
    assert issubclass(DriverMissing, ImportError)


@pytest.mark.row("E-017")
async def test_a_closed_database_refuses_every_call(scene: Scene) -> None:
    db = scene.handle()
    for state in ("not open", "closed"):
        calls: list[Any] = [
            db.head, db.snapshot, db.sweep, db.compact, db.check, db.explain,
            lambda: db.transact(lambda tx: tx.commit()),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(StoreClosed, match=state):
                await call()
        for read in ("entries", "capabilities", "revision", "cursor"):
            with pytest.raises(StoreClosed, match=state):
                getattr(db, read)
        with pytest.raises(StoreClosed, match=state):
            db.watch()
        with pytest.raises(StoreClosed, match=state):
            db.transaction()
        if state == "not open":
            await db.open()
            entries = db.entries
            await db.close()
            await db.close()
    uses: list[Any] = [
        lambda: entries.get("a"), lambda: entries.get_many(["a"]), lambda: entries.has("a"),
        lambda: entries.set("a", 1), lambda: entries.set_many({"a": 1}),
        lambda: entries.delete("a"), lambda: entries.modify("a", str), entries.count,
        lambda: listed(entries.keys()), lambda: listed(entries.items()),
        lambda: entries.require("a"), lambda: listed(entries.history("a")),
        lambda: entries.get("a", version=1), lambda: entries.get("a", at=1),
        lambda: listed(entries.find_by_tag("t")), lambda: entries.touch("a"),
        lambda: entries.rename("a", "b"),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(StoreClosed):
            await use()
    with pytest.raises(StoreClosed):
        await db.open()


def test_a_handle_belongs_to_its_event_loop(scene: Scene) -> None:
    with asyncio.Runner() as one, asyncio.Runner() as other:
        db = one.run(scene.handle().open())
        one.run(db.entries.set("a", 1))

        async def use() -> None:
            with pytest.raises(WrongContext):
                await db.entries.get("a")
            with pytest.raises(WrongContext):
                await db.entries.set("a", 2)
            with pytest.raises(WrongContext):
                db.watch()
            async with scene.open() as mine:  # Its own handle shares the engine and works.
                assert (await mine.entries.require("a")).value == 1
                assert engine_of(mine) is engine_of(db)

        other.run(use())
        assert one.run(db.entries.require("a")).value == 1
        one.run(db.close())


def test_a_handle_of_a_loop_refuses_threads_without_one(scene: Scene) -> None:
    async def main() -> None:
        async with scene.open() as db:
            failures: list[BaseException] = []

            def elsewhere() -> None:
                coroutine = db.entries.get("a")
                try:
                    coroutine.send(None)
                except BaseException as error:
                    failures.append(error)
                finally:
                    coroutine.close()

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join, 10)
            assert [type(one) for one in failures] == [WrongContext]

    asyncio.run(main())


def test_loops_in_two_threads_write_one_database(scene: Scene) -> None:
    start = threading.Barrier(3)
    failures: list[BaseException] = []

    async def write(worker: int) -> None:
        async with scene.open() as db:
            start.wait(10)
            for _ in range(40):
                await db.entries.modify("n", lambda value: (value or 0) + 1)
            await db.entries.set(f"done:{worker}", 1)

    def work(worker: int) -> None:
        try:
            asyncio.run(write(worker))
        except BaseException as error:
            failures.append(error)

    async def main() -> None:
        async with scene.open() as db:
            threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join, 30)
            assert failures == []
            assert (await db.entries.require("n")).value == 120
            assert await db.entries.count("done/#") == 3

    asyncio.run(main())


FORKED = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import holdfast.sync
from holdfast.contract.errors import StoreError
db = holdfast.sync.open(sys.argv[1]).open()
db.entries.set("a", 1)
reads, writes = os.pipe()
child = os.fork()
if not child:
    told = []
    def attempt(work):
        try:
            told.append(repr(work()))
        except StoreError as error:
            told.append(error.code)
    attempt(lambda: db.entries.get("a"))
    attempt(lambda: db.entries.set("a", 2))
    try:
        mine = holdfast.sync.open(sys.argv[1]).open()
    except StoreError as error:
        told.append(error.code)
    else:
        attempt(lambda: mine.entries.set("a", mine.entries.require("a").value + 10).value)
        db.close()
        third = holdfast.sync.open(sys.argv[1]).open()
        told.append(third._inner._engine is mine._inner._engine)
        third.close()
        attempt(lambda: mine.entries.require("a").value)
        mine.close()
    os.write(writes, json.dumps(told).encode())
    os._exit(0)
os.close(writes)
with os.fdopen(reads) as answers:
    told = json.load(answers)
os.waitpid(child, 0)
print(json.dumps([told, db.entries.require("a").value]))
db.close()
"""


def test_after_a_fork_the_parents_handle_is_refused_in_the_child(kept_scene: Scene) -> None:
    told, seen = python(FORKED, kept_scene.url)
    assert told[:2] == ["WRONG_CONTEXT", "WRONG_CONTEXT"]
    # The child's own handles share an engine, whatever it does with the inherited one.
    assert (told[2:], seen) == (["11", True, "11"], 11)


LOADED = """
import asyncio, json, sys
import holdfast
async def main():
    async with holdfast.open(sys.argv[1]) as db:
        await db.entries.set("a:b", {"x": 1}, ttl=60, tags=["t"])
        await db.entries.get("a:b")
asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("engine", ["memory", "lmdb", "sqlite"])
def test_a_database_loads_only_what_it_needs(engine: str, tmp_path: Path) -> None:
    url = "memory://" if engine == "memory" else f"{engine}:///{tmp_path / 'app'}"
    loaded = set(python(LOADED, url, environment=repository.unmeasured()))
    foreign = set(FOREIGN)
    foreign |= {"memory": {"lmdb", "sqlite3"}, "lmdb": {"sqlite3"}, "sqlite": {"lmdb"}}[engine]
    foreign |= {f"holdfast.{floor}" for floor in ("server", "cli", "testing", "sync")}
    assert not foreign & loaded
    assert f"holdfast.engines.{engine}" in loaded


async def test_a_database_from_the_future_is_refused_and_left_alone(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("a", 1)
        later = MARKER + msgspec.msgpack.encode((FORMAT + 1, ()))
        await engine_of(db).commit(Batch([Put(layout.SYSTEM_FORMAT, later)]))
    with pytest.raises(FormatTooNew) as caught:
        await kept_scene.handle().open()
    assert (caught.value.found, caught.value.supported) == (FORMAT + 1, FORMAT)
    # A refusal leaves the path free: the next attempt is told the same.
    with pytest.raises(FormatTooNew):
        await kept_scene.handle().open()


async def test_rows_of_others_are_no_database_of_ours(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        engine = engine_of(db)
        await engine.commit(Batch([Delete(layout.SYSTEM_FORMAT), Put(b"mine", b"1")]))
    with pytest.raises(NotADatabase):
        await kept_scene.handle().open()


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500, b"\0" * 8192])
async def test_a_foreign_file_is_refused_and_left_as_it_was(
    kept_scene: Scene, content: bytes
) -> None:
    path = kept_scene.folder / "app.db"
    path.write_bytes(content)
    if not content:
        path.write_bytes(b"short")
        content = b"short"
    with pytest.raises(StoreError) as caught:
        await kept_scene.handle().open()
    assert type(caught.value) in (NotADatabase, IntegrityFailed)
    assert path.read_bytes() == content


async def test_explain_tells_what_stands_below(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        told = await db.explain()
        assert told["capabilities"]["engine"] == scene.engine
        assert told["revision"] == db.revision
        assert [one["name"] for one in told["keyspaces"]] == ["entries"]
        assert db.cursor.startswith(told["lineage"])
        assert "open" in repr(db)
    assert "closed" in repr(db)


async def test_housekeeping_ends_what_expires_without_being_asked(scene: Scene) -> None:
    db = await scene.handle(housekeeping=True)
    await db.entries.set("a", 1, ttl=0.01)
    start = db.revision
    scene.clock.advance(1)
    [change] = await first(db.watch(since=start), 1)
    assert (change.op, change.cause) == ("delete", "expired")
    before = {thread.name for thread in threading.enumerate()}
    assert "holdfast housekeeping" in before
    await db.close()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("holdfast")]
    assert left == []


WRONG: dict[str, list[Any]] = {
    "housekeeping": ["no", 0],
    "logged": ["no", 0],
    "emulation": ["no", 0],
    "cached": ["yes", 5, [], None, holdfast.CacheLimits(1, True)],
    "serializer": [[], {}, 5],
    "compression": [[], {}, 5],
    "layers": [5, None, {}],
    "clock": ["x", 5],
    "components": ["x", 5],
}


@pytest.mark.row("E-052")
@pytest.mark.parametrize("name", WRONG)
def test_an_argument_that_cannot_be_is_named(name: str) -> None:
    for wrong in WRONG[name]:
        with pytest.raises(ConfigInvalid, match=name):
            holdfast.open("memory://", **{name: wrong})


async def test_layers_may_stand_in_one_text() -> None:
    async with holdfast.open("memory://", layers="metrics, time_limit:seconds=5") as db:
        names = " ".join(map(str, (await db.explain())["stack"]))
        assert "Metrics" in names
        assert "TimeLimit" in names
