"""What other libraries wrote comes in: every value, guessed, twice, and the source as it was."""

from __future__ import annotations

import gzip
import pickle
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import diskcache
import pytest
import sqlitedict

from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidInput, InvalidKey
from holdfast.contract.runtime import SystemClock
from holdfast.database.handle import Database
from holdfast.store.instants import milliseconds
from holdfast.stores.migration.importing import (
    Imported,
    guess,
    import_documents,
    import_entries,
    import_pairs,
    open_source,
)
from tests.store.scene import Scene, listed
from tests.stores.migration import legacy

pytestmark = [pytest.mark.row("E-113"), pytest.mark.row("E-114")]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    # With the clock of the machine, which other libraries count expiries by.
    scene = Scene("memory", folder)
    async with scene.handle(serializer="extended", components=None) as db:
        yield db
        assert await db.check() == []


async def imported(db: Database, place: Path, **options: Any) -> Imported:
    """Import, and import again: the second time there is nothing to write."""
    before = state(place)
    with open_source(place, **options) as source:
        done = await import_entries(source, db.entries, ["old"])
    with open_source(place, **options) as source:
        again = await import_entries(source, db.entries, ["old"])
    assert (again.items, again.written) == (done.items, 0)
    assert state(place) == before
    return done


def state(place: Path) -> dict[str, bytes]:
    """Every file of a source, without those of shared memory that readers of SQLite use."""
    files = place.rglob("*") if place.is_dir() else place.parent.glob(f"{place.name}*")
    return {
        str(file): file.read_bytes()
        for file in files
        if file.is_file() and not file.name.endswith(("-shm", "-wal"))
    }


async def content(db: Database, *namespace: str) -> dict[str, Any]:
    keys = [key async for key in db.entries.keys() if key.namespace == namespace]  # noqa: SIM118
    found = await db.entries.get_many(keys)
    return {key.name: entry.value for key, entry in found.items()}


@pytest.mark.parametrize("kind", ["shelve", None])
async def test_a_shelf_comes_as_values_when_asked_for(tmp_path: Path, kind: str | None) -> None:
    wanted = legacy.shelf(tmp_path / "shelf")
    async with opened(tmp_path) as db:
        done = await imported(db, tmp_path / "shelf", kind=kind, unpickle=True)
        assert done == Imported("shelve", len(wanted), len(wanted), True)
        assert await content(db, "old") == wanted


async def test_a_shelf_comes_as_bytes_otherwise(tmp_path: Path) -> None:
    wanted = legacy.shelf(tmp_path / "shelf", {"a": 1, "bomb": Bomb()})
    assert not exploded
    async with opened(tmp_path) as db:
        store = await db.stores.open("shelf")
        with open_source(tmp_path / "shelf", "shelve") as source:
            done = await import_pairs(source, store)
        assert (done.pairs, done.written) == (len(wanted), len(wanted))
        assert not exploded
        assert pickle.loads(await store.get(b"a")) == 1


exploded: list[bool] = []


class Bomb:
    """Tells when it is unpickled."""

    def __reduce__(self) -> Any:
        return exploded.append, (True,)


async def test_a_cache_comes_with_values_of_every_mode_and_expiries(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    wanted = dict(legacy.cache(place))
    now = SystemClock().now_ms()
    with diskcache.Cache(str(place)) as table:
        table.set("later", "l", expire=3600)
        table.set("gone", "g", expire=-5)
        table.set(b"key", 1)
        table.set(5, 2)
    wanted |= {"later": "l", "key": 1, "5": 2}
    assert guess(str(place)) == "diskcache"
    async with opened(tmp_path) as db:
        done = await imported(db, place, unpickle=True)
        assert done.items == len(wanted)
        assert await content(db, "old") == wanted
        entry = (await db.entries.get_many([StoreKey("later", ["old"])])).popitem()[1]
        expires_at = entry.metadata.expires_at
        assert expires_at is not None
        assert abs(milliseconds(expires_at) - now - 3_600_000) < 60_000


async def test_a_cache_of_shards_comes_as_one(tmp_path: Path) -> None:
    with diskcache.FanoutCache(str(tmp_path / "many"), shards=3) as table:
        for number in range(40):
            table.set(f"k{number}", number)
    async with opened(tmp_path) as db:
        assert (await imported(db, tmp_path / "many")).written == 40
        assert await content(db, "old") == {f"k{number}": number for number in range(40)}


async def test_sqlitedict_comes_with_its_tables(tmp_path: Path) -> None:
    place = tmp_path / "dict.sqlite"
    legacy.sqlite_dict(place, unnamed=legacy.VALUES, other={"a": {1, 2}})
    async with opened(tmp_path) as db:
        done = await imported(db, place, unpickle=True)
        assert done.items == len(legacy.VALUES) + 1
        assert await content(db, "old", "unnamed") == legacy.VALUES
        assert await content(db, "old", "other") == {"a": {1, 2}}
        await imported(db, place, table="other", unpickle=True)
        assert await content(db, "old") == {"a": {1, 2}}


async def test_sqlitedict_stays_bytes_without_a_word(tmp_path: Path) -> None:
    place = tmp_path / "dict.sqlite"
    legacy.sqlite_dict(place, unnamed={"a": 1, "bomb": Bomb()})
    async with opened(tmp_path) as db:
        store = await db.stores.open("dict")
        with open_source(place) as source:
            assert (await import_pairs(source, store)).written == 2
        assert not exploded
        assert sqlitedict.decode(await store.get(b"a")) == 1


async def test_tinydb_comes_as_documents_or_entries(tmp_path: Path) -> None:
    place = tmp_path / "tiny.json"
    people: list[dict[str, Any]] = [
        {"name": "ada", "age": 36},
        {"name": "bob", "tags": ["x", None]},
    ]
    legacy.tiny(place, _default=people, towns=[{"name": "Rome"}])
    async with opened(tmp_path) as db:
        assert (await imported(db, place)).items == 3
        assert await content(db, "old", "towns") == {"1": {"name": "Rome"}}
        collection = db.collection("people")
        with open_source(place, table="_default") as source:
            done = await import_documents(source, collection)
            again = await import_documents(source, collection)
        assert (done.written, again.written) == (2, 0)
        assert await collection.get_many(["1", "2"]) == dict(zip("12", people, strict=True))
        with open_source(place) as source, pytest.raises(InvalidInput, match="name one table"):
            await import_documents(source, collection)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_dump_comes_with_every_type(tmp_path: Path, packed: bool) -> None:
    written, wanted = legacy.documents_of_a_dump()
    place = tmp_path / "dump" / "app" / "people.bson"
    legacy.dump(place, written)
    (place.parent / "people.metadata.json").write_text("{}")
    if packed:
        place.with_name("people.bson.gz").write_bytes(gzip.compress(place.read_bytes()))
        place.unlink()
    async with opened(tmp_path) as db:
        done = await imported(db, tmp_path / "dump")
        assert done == Imported("mongodb", 3, 3, True)
        assert await content(db, "old") == wanted
        with open_source(tmp_path / "dump", table="people") as source:
            await import_documents(source, db.collection("people"))
        assert await db.collection("people").get_many(list(wanted)) == wanted


async def test_a_folder_of_leveldb_comes_as_it_is(tmp_path: Path) -> None:
    pairs = {b"%05d\xff" % number: b"v" * (number % 500) for number in range(3000)}
    place = tmp_path / "level"
    legacy.level(place, pairs)
    before = state(place)
    async with opened(tmp_path) as db:
        store = await db.stores.open("level")
        with open_source(place) as source:
            done = await import_pairs(source, store)
            assert done.written == 3000
            assert (await import_pairs(source, store)).written == 0
        assert dict(await listed(store.iterate())) == pairs
        with open_source(place) as source, pytest.raises(InvalidKey, match="Import into a store"):
            await import_entries(source, db.entries)
    assert state(place) == before


async def test_a_zodb_comes_with_its_containers(tmp_path: Path) -> None:
    legacy.zodb(tmp_path / "Data.fs")
    async with opened(tmp_path) as db:
        done = await imported(db, tmp_path / "Data.fs", unpickle=True)
        assert done.items == 1503
        assert await content(db, "old") == {"motto": "hold fast"}
        assert await content(db, "old", "settings") == {"depth": 3, "of": [1, b"2"]}
        people = await content(db, "old", "people")
        assert people == {f"p{number}": {"n": number} for number in range(1500)}


async def test_an_import_that_was_broken_off_completes(tmp_path: Path) -> None:
    values = {f"k{number}": number for number in range(1200)}
    legacy.sqlite_dict(tmp_path / "d", unnamed=values)

    class Stop(BaseException):
        pass

    def stop(count: int) -> None:
        if count > 600:
            raise Stop

    async with opened(tmp_path) as db:
        with open_source(tmp_path / "d", unpickle=True) as source:
            with pytest.raises(Stop):
                await import_entries(source, db.entries, ["old"], progress=stop)
            there = len(await content(db, "old"))
            assert 600 < there < 1200
            done = await import_entries(source, db.entries, ["old"])
        assert (done.items, done.written) == (1200, 1200 - there)
        assert await content(db, "old") == values


async def test_values_that_are_only_equal_for_python_are_written(tmp_path: Path) -> None:
    legacy.sqlite_dict(tmp_path / "d", unnamed={"a": True, "b": 1.0, "c": 1})
    async with opened(tmp_path) as db:
        await db.entries.set_many({StoreKey(name, ["old"]): 1 for name in "abc"})
        with open_source(tmp_path / "d", unpickle=True) as source:
            assert (await import_entries(source, db.entries, ["old"])).written == 2
        found = await content(db, "old")
        assert [type(found[name]) for name in "abc"] == [bool, float, int]


@pytest.mark.parametrize("kind", ["sqlitedict", "mongodb", "leveldb"])
async def test_memory_stays_flat_however_big_the_values_are(tmp_path: Path, kind: str) -> None:
    values = {f"k{number:03}": b"v" * 500_000 for number in range(80)}
    place = tmp_path / "old.bson"
    if kind == "sqlitedict":
        legacy.sqlite_dict(place, unnamed=values)
    elif kind == "leveldb":
        legacy.level(place, {key.encode(): value for key, value in values.items()})
    else:
        legacy.dump(place, [{"_id": key, "v": value} for key, value in values.items()])
    values.clear()
    # Where what is written is not in memory itself.
    async with Scene("sqlite", tmp_path).handle(components=None) as db:
        with open_source(place, kind, unpickle=kind == "sqlitedict") as old:
            tracemalloc.start()
            try:
                done = await import_entries(old, db.entries)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert done.written == 80
    # Of 40 MB: a batch of 2 MB, as items, as encoded, as read again, and on its way to the engine.
    assert peak < 20_000_000
