"""What type checkers are told: `make types` fails here when a call says another type than it gives.

Each `assert_type` is checked by mypy; each `type: ignore` with a code stands where mypy has to
refuse, because one that is not needed is an error too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, assert_type

import msgspec
import pydantic
import pytest

import holdfast
import holdfast.sync
from holdfast import Entry, EntryScope, InvalidInput, PastVersion, StoreKey, Walk
from holdfast.database.json_storage import JSONStorageAdapter
from holdfast.database.storages import EngineStorageAdapter, SQLiteStorageAdapter
from holdfast.documents.collection import Collection
from holdfast.store.versions.entry import Metadata


@dataclass
class City:
    name: str
    population: int = 0


class Struct(msgspec.Struct):
    name: str


class Model(pydantic.BaseModel):
    name: str


class Shape(TypedDict):
    name: str


async def test_typed_entries_are_entries_of_their_type() -> None:
    async with holdfast.open("memory://") as db:
        cities = db.entries.typed(City, "cities")
        assert_type(cities, EntryScope[City])
        assert_type(await cities.set("a", City("a")), Entry[City])
        assert_type(await cities.get("a"), Entry[City] | None)
        assert_type(await cities.require("a"), Entry[City])
        assert_type((await cities.require("a")).value.population, int)
        assert_type(await cities.get_many(["a"]), dict[StoreKey, Entry[City]])
        assert_type(cities.items(), Walk[Entry[City]])
        assert_type(cities.keys(), Walk[StoreKey])
        assert_type(cities.history("a"), Walk[PastVersion[City]])
        assert_type(await cities.modify("a", lambda _: City("b")), Entry[City])
        assert_type(await cities.set_many({"b": City("b")}), dict[StoreKey, Entry[City]])
        assert_type(db.entries.typed(Struct), EntryScope[Struct])
        assert_type(db.entries.typed(Model), EntryScope[Model])
        assert_type(db.entries.typed(Shape), EntryScope[Shape])
        assert_type(db.entries.scope("a").typed(City, "b"), EntryScope[City])
        async with db.transaction("snapshot") as tx:
            assert_type(tx.entries.typed(City), EntryScope[City])
        with pytest.raises(holdfast.InvalidValue):
            await cities.set("a", {"name": "a"})  # type: ignore[arg-type]


async def test_what_is_expected_is_what_type_checkers_are_told() -> None:
    async with holdfast.open("memory://") as db:
        digest = await db.schemas.register(City)
        await db.entries.set("a", {"name": "a", "population": 1})
        assert_type(await db.entries.get("a"), Entry[Any] | None)
        assert_type(await db.entries.get("a", expect=digest), Entry[Any] | None)
        assert_type(await db.entries.get("a", expect=City), Entry[City] | None)
        assert_type(await db.create_payload({"name": "a"}), dict[str, Any])
        payload = await db.create_payload({"name": "x"}, into=City, missing="default", default="")
        assert_type(payload, City)
        with pytest.raises(InvalidInput):
            await db.create_payload({}, missing="maybe")  # type: ignore[call-overload]


async def test_what_has_a_few_names_is_told_by_them() -> None:
    async with holdfast.open("memory://", serializer="ordered", compression="gzip") as db:
        with pytest.raises(InvalidInput):
            db.transaction("dirty")  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await db.retention.keep("a", values="some")  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            db.collection("a", history="some")  # type: ignore[call-overload]
    with pytest.raises(holdfast.ConfigInvalid):
        holdfast.open("memory://", serializer="yaml")  # type: ignore[arg-type]
    with pytest.raises(holdfast.ConfigInvalid):
        holdfast.open("memory://", compression="rar")  # type: ignore[arg-type]
    with pytest.raises(holdfast.ConfigInvalid):
        holdfast.open("memory://", durability="some")  # type: ignore[arg-type]


async def test_errors_have_typed_attributes() -> None:
    async with holdfast.open("memory://") as db:
        await db.entries.set("a", 1)
        with pytest.raises(holdfast.Conflict) as caught:
            await db.entries.set("a", 2, if_revision=0)
        assert_type(caught.value.key, str | bytes | None)
        assert_type(caught.value.expected, int | tuple[int, int] | str | None)
        assert_type(caught.value.retryable, bool)
        with pytest.raises(AttributeError):
            _ = caught.value.keey  # type: ignore[attr-defined]


async def test_entries_and_blocks_say_what_they_hold() -> None:
    async with holdfast.open("memory://") as db:
        entry = await db.entries.set("a", 1)
        assert_type(entry.metadata, Metadata)
        assert_type(entry.version, int)
        assert_type(entry.to_dict(), dict[str, Any])
        async with db.snapshot() as view:
            assert_type(view, holdfast.SnapshotView)
        view = await db.snapshot()
        await view.close()
        tx = await db.transaction()
        assert_type(tx, holdfast.Transaction)
        await tx.rollback()
        lock = await db.lock("a")
        assert_type(lock, holdfast.Lock)
        await lock.release()


def test_the_twins_say_the_same(tmp_path: Path) -> None:
    with holdfast.sync.open(tmp_path / "app", read_only=None) as db:
        assert_type(db, holdfast.sync.Database)
        cities = db.entries.typed(City, "cities")
        assert_type(cities, holdfast.sync.EntryScope[City])
        assert_type(cities.set("a", City("a")), Entry[City])
        assert_type(cities.get("a"), Entry[City] | None)
        assert_type(cities.items(), holdfast.sync.Walk[Entry[City]])
        db.schemas.register(City)
        assert_type(db.entries.get("cities:a", expect=City), Entry[City] | None)
        assert_type(db.create_payload({}), dict[str, Any])
        made = db.create_payload({"name": "n"}, into=City, missing="default", default="x")
        assert_type(made, City)
        assert_type(db.snapshot(), holdfast.sync.SnapshotView)


async def test_what_a_storage_gives_is_a_collection_of_its_type(tmp_path: Path) -> None:
    """Also where no type was given, without an annotation of the user's."""
    async with SQLiteStorageAdapter(":memory:", type=City) as cities:
        assert_type(cities, Collection[City])
        await cities.set("a", City("a"))
        assert_type(await cities.require("a"), City)
    async with SQLiteStorageAdapter(":memory:", table_name="users") as users:
        assert_type(users, Collection[Any])
    async with JSONStorageAdapter(tmp_path / "users.json", pretty=True) as documents:
        assert_type(documents, Collection[Any])
    async with EngineStorageAdapter("memory://", type=Shape) as shapes:
        assert_type(shapes, Collection[Shape])
