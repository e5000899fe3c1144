"""Storages by configuration: levels, adapters, hints, caches and serializers."""

import asyncio
import json
import logging
import pickle
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import holdfast
from holdfast.codecs.typed_json import from_json, to_json
from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    EngineNotFound,
    InvalidInput,
    SerializationFailed,
    StoreClosed,
    Unsupported,
)
from holdfast.database.json_storage import JSONStorageAdapter
from holdfast.database.storage_adapter import PerformanceHints
from holdfast.database.storages import EngineStorageAdapter, SQLiteStorageAdapter, open_storage
from holdfast.documents import levels
from holdfast.documents.caching import CacheConfig
from holdfast.documents.collection import Collection
from holdfast.documents.query import F
from holdfast.documents.serialization import SerializationConfig
from holdfast.documents.transacting import CollectionTransaction
from tests.documents.strategies import DOCUMENTS
from tests.store.scene import Scene, listed


@dataclass
class User:
    name: str
    age: int = 0


@pytest.mark.row("I-004")
def test_each_level_has_what_the_one_before_has() -> None:
    for lower, higher in zip(levels.LEVELS, levels.LEVELS[1:], strict=False):
        assert lower in higher.__mro__
        assert set(dir(lower)) < set(dir(higher))
    assert levels.level_of(object()) is None


class Notes:
    """A storage of somebody else, of the first level."""

    async def get(self, key: str, default: Any = None) -> Any: ...
    async def set(self, key: str, value: Any) -> None: ...
    async def delete(self, key: str) -> bool: ...  # type: ignore[empty-body]
    async def has(self, key: str) -> bool: ...  # type: ignore[empty-body]
    async def clear(self) -> int: ...  # type: ignore[empty-body]
    async def size(self) -> int: ...  # type: ignore[empty-body]
    def keys(self) -> Any: ...
    def values(self) -> Any: ...
    def entries(self) -> Any: ...


@pytest.mark.row("I-006")
async def test_the_level_of_a_storage_is_known_and_a_lower_one_refused(
    scene: Scene, tmp_path: Path
) -> None:
    async with scene.open() as db:
        users = db.collection("users", User)
        assert levels.level_of(users) == "ObservableStorage"
        assert isinstance(users, levels.ObservableStorage)
        async with db.transaction() as tx:
            inside = tx.collection("users", User)
            assert isinstance(inside, levels.IndexedStorage)
            with pytest.raises(Unsupported):
                await inside.create_index("n", "age")
            with pytest.raises(Unsupported):
                await inside.begin_transaction()
    assert levels.level_of(Notes()) == "Storage"
    with pytest.raises(Unsupported, match=r"QueryableStorage.*found one of Storage") as refused:
        levels.require_level(Notes(), levels.QueryableStorage)
    assert refused.value.code == "NOT_SUPPORTED"
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            from typing import Any
            from holdfast.documents.collection import Collection
            from holdfast.documents.levels import ObservableStorage, QueryableStorage, Storage

            def observes(storage: ObservableStorage[Any]) -> None: ...
            def asks(storage: QueryableStorage[Any]) -> None: ...

            def good(users: Collection[Any]) -> None:
                observes(users)
                asks(users)

            def bad(notes: Storage[Any]) -> None:
                asks(notes)
            """
        )
    )
    checked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mypy", "--strict", str(program),
        stdout=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    output, _ = await checked.communicate()
    errors = [line for line in output.decode().splitlines() if ": error:" in line]
    assert len(errors) == 1, output.decode()
    assert '"asks" has incompatible type "Storage[Any]"' in errors[0]


async def level_three(users: Collection[User]) -> None:
    """What a storage of the third level does, on whatever engine."""
    await users.set_many({f"u{n:02}": User(f"n{n}", n) for n in range(20)})
    await users.create_index("by_age", "age")
    assert [one.age for one in await users.find_many(F.age >= 17, order_by=-F.age)] == [19, 18, 17]
    assert await users.count(F.age < 5) == 5
    plan = await users.explain(F.age == 7)
    assert plan["winner"]["index"] == "by_age" if "winner" in plan else "by_age" in str(plan)
    assert (await users.find_one(F.name == "n3")) == User("n3", 3)

    async def birthday(tx: CollectionTransaction[User]) -> int:
        found = await tx.require("u00")
        await tx.set("u00", User(found.name, found.age + 100))
        assert await tx.count(F.age >= 100) == 1
        return found.age

    assert await users.count(F.age >= 100) == 0
    assert await users.transaction(birthday) == 0
    assert await users.count(F.age >= 100) == 1
    whole = {
        "where": {"field": "age", "operator": "gte", "value": 10},
        "orderBy": [{"field": "age", "direction": "desc"}],
        "limit": 2,
    }
    assert [one.age for one in await users.find_many(whole)] == [100, 19]
    assert await users.count({"where": whole["where"]}) == 11
    named = await users.batch(
        [
            {"type": "set", "key": "y", "value": User("y")},
            {"type": "delete", "key": "y"},
        ]
    )
    assert named.success
    for wrong in ({"type": "set", "key": "y"}, {"type": "explode"}, {"key": "y"}, {"type": 5}):
        with pytest.raises(InvalidInput, match="position 1"):
            await users.batch([("delete", "y"), wrong])
    result = await users.batch([("set", "x", User("x")), ("delete", "u01"), ("set", "", User("y"))])
    assert not result.success
    assert result.errors[0].position == 2
    assert await users.has("u01")

    async def fails(tx: CollectionTransaction[User]) -> None:
        await tx.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await users.transaction(fails)
    assert await users.size() == 20
    assert [one async for one in users.aggregate([{"count": "n"}])] == [{"n": 20}]


@pytest.mark.row("I-095")
@pytest.mark.parametrize("database", ["file", ":memory:"])
async def test_the_third_level_on_the_sqlite_adapter(tmp_path: Path, database: str) -> None:
    where = tmp_path / "app.db" if database == "file" else database
    adapter = SQLiteStorageAdapter[User](where, table_name="users", type=User)
    async with adapter as users:
        await level_three(users)


@pytest.mark.row("E-052", "I-120")
@pytest.mark.parametrize("name", ["pretty", "atomic", "debug"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_a_switch_is_true_or_false(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ConfigInvalid, match=name):
        open_storage({"type": "json", "file_path": str(tmp_path / "a.json"), name: value})


@pytest.mark.row("I-098", "I-119", "I-121")
async def test_a_configuration_names_its_adapter(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {"type": "json", "file_path": str(tmp_path / "users.json")},
        {"type": "sqlite", "database": str(tmp_path / "app.db")},
        {"type": "lmdb", "url": f"lmdb:///{tmp_path / 'app'}"},
        {"type": "memory"},
    ]
    for one in settings:
        async with open_storage({**one, "value_type": User, "id": "mine"}) as users:
            await level_three(users)
    # Built directly an adapter needs no type.
    direct: list[Any] = [
        JSONStorageAdapter(tmp_path / "direct.json"),
        SQLiteStorageAdapter(tmp_path / "direct.db"),
        EngineStorageAdapter("memory://"),
    ]
    for adapter in direct:
        storage = await adapter
        await storage.set("k", {"n": 1})
        assert await storage.get("k") == {"n": 1}
        assert await adapter.open() is storage
        await adapter.close()
        await adapter.close()
        with pytest.raises(StoreClosed):
            adapter.stats()
    for wrong, error, words in (
        ({"type": "graph-of-things"}, EngineNotFound, "json, "),
        ({}, ConfigInvalid, "type"),
        ({"type": "sqlite"}, ConfigInvalid, "database"),
        ({"type": "json", "file_path": "x", "tablename": 1}, ConfigInvalid, "tablename"),
        ({"type": "lmdb", "url": "sqlite:///x"}, ConfigInvalid, "begins with lmdb"),
        ([], ConfigInvalid, "mapping"),
    ):
        with pytest.raises(error, match=words):
            open_storage(wrong)  # type: ignore[arg-type]


@pytest.mark.row("I-094")
async def test_the_options_of_the_sqlite_adapter(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    adapter: SQLiteStorageAdapter[Any] = SQLiteStorageAdapter(
        path, table_name="users_2", foreign_keys=False
    )
    async with adapter as users:
        await users.set("k", {"n": 1})
        assert users.name == "users_2"
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("pragma journal_mode").fetchone() == ("wal",)
        tables = raw.execute("select name from sqlite_master where type = 'table'").fetchall()
        assert tables
        # The collection is in the directory of the database, under its name.
        rows = b"".join(
            bytes(part)
            for (table,) in tables
            for row in raw.execute(f'select * from "{table}"')
            for part in row
            if isinstance(part, bytes)
        )
        assert b"users_2" in rows
    async with holdfast.open(f"sqlite:///{path}") as db:
        assert await db.collection("users_2").get("k") == {"n": 1}
    for hostile in ('x"; drop table y; --', "", "9lives", "a b", "é", "x" * 64, None):
        with pytest.raises(ConfigInvalid, match="table_name"):
            SQLiteStorageAdapter(path, table_name=hostile)  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid, match="wal"):
        SQLiteStorageAdapter(path, wal=False)
    with pytest.raises(ConfigInvalid, match="foreign_keys"):
        SQLiteStorageAdapter(path, foreign_keys="yes")  # type: ignore[arg-type]


@pytest.mark.row("I-093")
async def test_the_options_of_the_json_adapter(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    document = {"name": "Ada", "tags": ["ü", "日本"]}
    async with JSONStorageAdapter[Any](path) as users:
        await users.set("a", document)
        assert not path.exists()  # Until it is closed there is the journal.
    assert json.loads(path.read_text()) == {"a": document}
    assert path.read_text().count("\n") == 3
    first = path.stat().st_ino
    async with JSONStorageAdapter[Any](path, pretty=True) as users:
        await users.set("b", {"n": 1})
    assert '  "b": {\n    "n": 1\n  }\n' in path.read_text()
    assert path.stat().st_ino != first  # Atomic: another file in its place.
    second = path.stat().st_ino
    async with JSONStorageAdapter[Any](path, atomic=False) as users:
        await users.delete("b")
    assert path.stat().st_ino == second
    assert json.loads(path.read_text()) == {"a": document}
    path.write_text(json.dumps({"a": document}), "utf-16")
    async with JSONStorageAdapter[Any](path, encoding="utf-16") as users:
        assert await users.get("a") == document
        await users.set("c", {"n": 3})
    assert path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
    assert json.loads(path.read_text("utf-16")) == {"a": document, "c": {"n": 3}}
    with pytest.raises(ConfigInvalid, match="encoding"):
        JSONStorageAdapter(path, encoding="klingon")
    path.write_text("{}", "utf-16")
    with pytest.raises(ConfigInvalid, match="utf-8"):
        await JSONStorageAdapter(path)


@pytest.mark.row("I-093")
async def test_a_json_file_that_somebody_has_changed_is_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    async with JSONStorageAdapter[Any](path) as users:
        await users.set_many({"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}})
    path.write_text(
        '{"a": {"n": 1}, "b": {"n": 20}, "d": {"at": {"$datetime": "2024-05-01T12:00Z"}}}'
    )
    adapter: JSONStorageAdapter[Any] = JSONStorageAdapter(path)
    async with adapter as users:
        assert dict(await listed(users.entries())) == {
            "a": {"n": 1},
            "b": {"n": 20},
            "d": {"at": datetime(2024, 5, 1, 12, tzinfo=UTC)},
        }
        entry = await users.find("a")
        assert entry is not None
        assert entry.metadata.version == 1  # What did not change was not written.
        await users.delete("d")
        await adapter.compact()
        assert json.loads(path.read_text()) == {"a": {"n": 1}, "b": {"n": 20}}
    for broken in ("[1, 2]", "{", '{"a": NaN}', '{"a": {"$bytes": "!"}}'):
        path.write_text(broken)
        with pytest.raises((ConfigInvalid, DeserializationFailed)):
            await JSONStorageAdapter(path)


@pytest.mark.row("I-093")
async def test_a_killed_process_loses_nothing_of_a_json_storage(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    code = """
        import asyncio, os, sys
        from holdfast.database.json_storage import JSONStorageAdapter

        async def main():
            users = await JSONStorageAdapter(sys.argv[1])
            for number in range(50):
                await users.set(f"k{number:02}", {"n": number})
            print("written", flush=True)
            os.kill(os.getpid(), 9)

        asyncio.run(main())
    """
    async with JSONStorageAdapter[Any](path) as users:
        await users.set("before", {"n": -1})
    whole = path.read_text()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(code), str(path), stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert (process.returncode, output) == (-9, b"written\n")
    assert path.read_text() == whole  # Not torn.
    async with JSONStorageAdapter[Any](path) as users:
        assert await users.size() == 51
    assert len(json.loads(path.read_text())) == 51


@pytest.mark.row("I-085")
@given(DOCUMENTS)
def test_json_text_gives_back_every_document(document: Any) -> None:
    text = json.dumps(to_json(document))
    found = from_json(json.loads(text))
    assert found == document
    assert repr(to_json(found)) == repr(to_json(document))


@pytest.mark.row("I-085")
async def test_a_json_storage_holds_instants_and_bytes_and_other_tools_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "things.json"
    document = {
        "at": datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
        "bytes": b"\x00\xff",
        "nested": [{"$bytes": "no bytes"}, {"$$datetime": 1}, {}],
    }
    async with JSONStorageAdapter[Any](path) as things:
        await things.set("a", document)
    tool = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "json.tool", str(path), stdout=subprocess.PIPE
    )
    await tool.communicate()
    assert tool.returncode == 0
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    async with JSONStorageAdapter[Any](path) as things:
        assert await things.get("a") == document
    async with EngineStorageAdapter[Any]("memory://", serialization={"format": "json"}) as plain:
        await plain.set("a", {"n": [1, None, "x"]})
        assert await plain.get("a") == {"n": [1, None, "x"]}
        with pytest.raises(SerializationFailed, match="bytes"):
            await plain.set("b", {"n": b"x"})


class Pickles:
    """A serializer of one's own that counts."""

    def __init__(self) -> None:
        self.serialized = self.deserialized = 0

    def serialize(self, value: Any) -> bytes:
        self.serialized += 1
        return pickle.dumps(value)

    def deserialize(self, data: bytes) -> Any:
        self.deserialized += 1
        return pickle.loads(data)


OWN = Pickles()
PICKLED = SerializationConfig(serializer=OWN, name="pickles", code=11)


class Broken(Pickles):
    """Fails as it is told."""

    def serialize(self, value: Any) -> Any:
        if value == {"bad": 1}:
            raise StopIteration
        return 5 if value == {"bad": 2} else super().serialize(value)

    def deserialize(self, data: bytes) -> Any:
        raise KeyError("secret")


BROKEN = SerializationConfig(serializer=Broken(), name="broken", code=12)


@pytest.mark.row("I-091")
async def test_a_serializer_of_ones_own_is_used_on_every_path(scene: Scene) -> None:
    config, own = PICKLED, OWN
    own.serialized = own.deserialized = 0
    async with scene.open() as db:
        things = db.collection("things").stored_as(config)
        await things.set("a", {"n": 1})
        assert own.serialized == 1
        counted = own.deserialized
        assert await things.get("a") == {"n": 1}
        assert own.deserialized > counted
        # Modifying, transactions and batches write with it.
        await things.modify("a", lambda one: {"n": (one or {})["n"] + 1})
        await things.patch("a", {"m": 1})
        await things.batch([("set", "b", {"n": 5})])
        async with await things.begin_transaction() as tx:
            await tx.set("c", {"n": 6})
        assert own.serialized == 5
        # Indexes, queries, changes and live queries read with it.
        for step in (
            lambda: things.create_index("by_n", "n"),
            lambda: things.find_many(F.n >= 2),
            lambda: things.set("a", {"n": 9}),
            lambda: things.group_by("n"),
            db.check,
        ):
            counted = own.deserialized
            await step()
            assert own.deserialized > counted
        begin = db.revision
        await things.set("d", {"n": 7})
        counted = own.deserialized
        async with db.watch("things:#", view="documents", since=begin) as changes:
            assert (await anext(changes)).after == {"n": 7}
        assert own.deserialized > counted
        # Whoever has another configuration reads it, and the other way round.
        assert await db.collection("things").get("d") == {"n": 7}
        await db.collection("things").set("e", {"n": 8})
        assert await things.get("e") == {"n": 8}


async def test_what_a_serializer_raises_is_a_failure_and_nothing_is_written(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        things = db.collection("things").stored_as(BROKEN)
        for bad in ({"bad": 1}, {"bad": 2}):
            with pytest.raises(SerializationFailed, match="broken"):
                await things.set("k", bad)
        assert not await things.has("k")
        await things.set("k", {"good": 1})
        with pytest.raises(DeserializationFailed) as failed:
            await things.get("k")
        assert "secret" not in str(failed.value)
        for wrong in (
            SerializationConfig(format="yaml"),
            SerializationConfig(format="protobuf"),
            SerializationConfig(compression="rar"),
            SerializationConfig(serializer=object()),  # type: ignore[arg-type]
            SerializationConfig(serializer=Pickles(), name="other", code=12),
            SerializationConfig(serializer=Pickles(), name="other", code=3),
        ):
            with pytest.raises(ConfigInvalid):
                things.stored_as(wrong)
        with pytest.raises(ConfigInvalid):
            things.stored_as({"format": "json"})  # type: ignore[arg-type]


async def test_a_living_collection_changes_its_form_without_being_rewritten(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        long = {"text": "the same again " * 200}
        for name in ("none", "gzip", "lz4", "snappy", "zstd"):
            packed = things.stored_as(SerializationConfig(compression=name))
            await packed.set(name, long)
        await things.stored_as(SerializationConfig("json", "zstd")).set("json", long)
        assert await listed(things.values()) == [long] * 6
        storage = await things._require()
        sizes = {}
        for name in ("none", "gzip", "lz4", "snappy", "zstd", "json"):
            [record] = await storage.engine.read([storage.data_key(name)])
            assert record is not None
            sizes[name] = len(record.value)
        assert max(size for name, size in sizes.items() if name != "none") < sizes["none"] / 5


@pytest.mark.row("I-081")
async def test_debug_logs_operations_with_the_id_of_the_storage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for debug in (True, False):
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            config = {"type": "memory", "id": "cart-7", "debug": debug}
            async with open_storage(config) as storage:
                await storage.set("secret-key", {"card": "4111"})
                await storage.get("secret-key")
                await storage.delete("secret-key")
                with pytest.raises(holdfast.StoreError):
                    await storage.get("")
        lines = [
            one.getMessage() for one in caplog.records if one.name.startswith("holdfast.storage")
        ]
        if debug:
            assert [line.split()[:3] for line in lines] == [
                ["storage", "cart-7:", "set"],
                ["storage", "cart-7:", "get"],
                ["storage", "cart-7:", "delete"],
                ["storage", "cart-7:", "failed"],
            ]
            assert "secret" not in caplog.text
            assert "4111" not in caplog.text
        else:
            assert lines == []
    with pytest.raises(ConfigInvalid, match="id"):
        open_storage({"type": "memory", "id": "a b\n"})


@pytest.mark.row("I-082", "I-083")
async def test_hints_change_settings_that_stats_show(tmp_path: Path) -> None:
    async def stats(kind: str, **hints: Any) -> dict[str, Any]:
        place = {"database": str(tmp_path / "a.db")} if kind == "sqlite" else {
            "file_path": str(tmp_path / "a.json")
        }  # fmt: skip
        adapter = open_storage({"type": kind, **place, "hints": hints})
        async with adapter as storage:
            await storage.set("k", {"n": 1})
            assert await storage.get("k") == {"n": 1}
            found: dict[str, Any] = adapter.stats()
            return found

    for kind in ("sqlite", "json"):
        small, big = [
            (await stats(kind, expected_size=size))["settings"]["cache_size"]
            for size in (1_000, 1_000_000)
        ]
        assert small == 2 * 2**20
        assert big == 512 * 1_000_000
        read_heavy = await stats(kind, expected_size=100_000, access_pattern="read-heavy")
        assert read_heavy["settings"]["cache_size"] == 4 * 512 * 100_000
    plain = (await stats("sqlite"))["settings"]
    assert (await stats("sqlite", access_pattern="sequential"))["settings"] == plain | {
        "mmap_size": 256 * 2**20
    }
    assert (await stats("sqlite", access_pattern="write-heavy"))["settings"] == plain | {
        "checkpoint_pages": 16_000
    }
    shown = await stats("sqlite", access_pattern="random", expected_size=5)
    assert (shown["access_pattern"], shown["expected_size"]) == ("random", 5)
    assert shown["level"] == "ObservableStorage"
    for wrong in ({"expected_size": -1}, {"expected_size": "1"}, {"access_pattern": "zigzag"}):
        with pytest.raises(ConfigInvalid):
            PerformanceHints(**wrong)


@pytest.mark.row("I-084")
async def test_a_cache_is_bounded_and_never_stale(shared_scene: Scene) -> None:
    code = """
        import sys, holdfast.sync
        with holdfast.sync.open(sys.argv[1]) as db:
            db.collection("things").set("k00", {"n": "from elsewhere"})
    """
    async with shared_scene.open() as db:
        things = db.collection("things").cached(CacheConfig(size=10, ttl=60))
        for number in range(20):
            await things.set(f"k{number:02}", {"n": number})
        for _ in range(2):
            for number in range(10):
                assert await things.get(f"k{number:02}") == {"n": number}
        assert things.cache_facts() == {"entries": 10, "hits": 10, "misses": 10}
        for number in range(20):
            await things.get(f"k{number:02}")
        assert things.cache_facts()["entries"] == 10
        # What one reader does to a document concerns no other.
        await things.get("k00")
        spoiled = await things.get("k00")
        assert spoiled is not None
        spoiled["n"] = "spoiled"
        assert await things.get("k00") == {"n": 0}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(code), shared_scene.url
        )
        assert await process.wait() == 0
        assert await things.get("k00") == {"n": "from elsewhere"}
        hits = things.cache_facts()["hits"]
        await things.get("k00")
        assert things.cache_facts()["hits"] == hits + 1
        shared_scene.clock.advance(61)
        await things.get("k00")
        assert things.cache_facts()["hits"] == hits + 1
        # A document that runs out is gone at once, although nobody wrote.
        await things.set("short", {}, ttl=5)
        assert await things.get("short") == {}
        shared_scene.clock.advance(6)
        assert await things.get("short") is None
        async with db.transaction() as tx:
            inside = tx.collection("things")
            await inside.set("k00", {"n": "mine"})
            assert await inside.get("k00") == {"n": "mine"}
            await tx.rollback()
    for wrong in ({"size": 0}, {"size": "1"}, {"ttl": 0}):
        with pytest.raises(ConfigInvalid):
            CacheConfig(**wrong)
