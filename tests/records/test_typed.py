"""Typed entries: instances in, instances out, checked both ways, and known to type checkers."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from holdfast import Conflict, Entry, StoreKey
from holdfast.contract.errors import InvalidInput, InvalidValue, SchemaValidationFailed
from holdfast.records.scope import EntryScope
from tests.store.scene import Scene, listed


class Size(Enum):
    TOWN = "town"
    CITY = "city"


@dataclass(frozen=True)
class City:
    name: str
    population: int = 0
    tags: list[str] = field(default_factory=list)


class Struct(msgspec.Struct, frozen=True):
    name: str
    population: int = 0


class Model(pydantic.BaseModel):
    name: str
    population: int = 0


class Shape(TypedDict):
    name: str
    population: int


@dataclass
class Rich:
    price: Decimal
    id: UUID
    day: date
    size: Size
    pair: tuple[int, str]
    at: datetime
    raw: bytes


async def test_instances_go_in_and_come_out(scene: Scene) -> None:
    async with scene.open() as db:
        cities: EntryScope[City] = db.entries.typed(City, "cities")
        made: Entry[City] = await cities.set("IS:reykjavik", City("Reykjavik", 139_875), ttl=60)
        assert (made.value, str(made.key)) == (City("Reykjavik", 139_875), "IS:reykjavik")
        found = await cities.require("IS:reykjavik")
        name: str = found.value.name
        assert (name, type(found.value)) == ("Reykjavik", City)
        # What is stored is plain: readers in other languages see a mapping.
        plain = await db.entries.require("cities/IS:reykjavik")
        assert plain.value == {"name": "Reykjavik", "population": 139_875, "tags": []}
        assert plain.revision == made.revision
        grown = await cities.modify("IS:reykjavik", lambda city: replace(city, population=1))
        assert grown.value == City("Reykjavik", 1)
        assert [one.value.population async for one in cities.history("IS:reykjavik")] == [139_875]
        await cities.set_many([("JP:tokyo", City("Tokyo", 9)), ("x", City("X"), {"tags": ["t"]})])
        assert [one.value.name async for one in cities.items()] == ["Reykjavik", "Tokyo", "X"]
        assert [one.value async for one in cities.find_by_tag("t")] == [City("X")]
        many = await cities.get_many(["x", "JP:tokyo"])
        assert many[StoreKey("x")].value == City("X")
        with pytest.raises(Conflict) as caught:
            await cities.set("x", City("Y"), if_absent=True)
        assert caught.value.current.value == City("X")
        assert (await cities.restore("IS:reykjavik", 1)).value == City("Reykjavik", 139_875)
        assert (await cities.touch("x", ttl=5)).value == City("X")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (City, City("a", 1, ["t"])),
        (Struct, Struct("a", 1)),
        (Model, Model(name="a", population=1)),
        (Shape, Shape(name="a", population=1)),
    ],
)
async def test_every_kind_of_class_is_kept(scene: Scene, kind: Any, value: Any) -> None:
    async with scene.open() as db:
        store = db.entries.typed(kind)
        await store.set("n:a", value)
        found = await store.require("n:a")
        assert found.value == value
        assert type(found.value) is type(value)
        async with db.transaction() as tx:
            within = tx.entries.typed(kind, "n")
            assert (await within.require("a")).value == value
        seen: list[Any] = []
        end = store.subscribe("#", seen.append)
        await store.set("n:b", value)
        end()
        assert seen[0].after.value == value


async def test_types_that_plain_values_lack_are_kept_in_fields(scene: Scene) -> None:
    value = Rich(
        Decimal("1.10"), UUID(int=7), date(2026, 11, 27), Size.CITY, (1, "a"),
        datetime(2026, 11, 27, tzinfo=UTC), b"\0",
    )  # fmt: skip
    async with scene.open() as db:
        store = db.entries.typed(Rich)
        await store.set("a", value)
        assert (await store.require("a")).value == value


async def test_what_does_not_fit_is_refused_on_both_ways(scene: Scene) -> None:
    async with scene.open() as db:
        cities = db.entries.typed(City, "cities")
        begin = await db.head()
        wrong: Any = City("a", "many")  # type: ignore[arg-type]
        with pytest.raises(SchemaValidationFailed, match="population") as caught:
            await cities.set("a", wrong)
        assert caught.value.key == "a"
        for other in ({"name": "a"}, "a", None, Struct("a")):
            with pytest.raises(InvalidValue, match="City"):
                await cities.set("a", other)  # type: ignore[arg-type]
        with pytest.raises(InvalidValue):
            await cities.modify("a", lambda _: {"name": "a"})  # type: ignore[arg-type,return-value]
        assert await db.head() == begin
        await db.entries.set("cities:a", {"name": 7})
        for reading in (lambda: cities.get("a"), lambda: listed(cities.items())):
            with pytest.raises(SchemaValidationFailed, match="name") as found:
                await reading()
            assert found.value.key == "a"
        # It can be put right nevertheless.
        assert (await cities.set("a", City("A"))).metadata.version == 2
        assert await cities.delete("a") is True


async def test_types_that_cannot_be_kept_are_refused(scene: Scene) -> None:
    async with scene.open() as db:
        for kind in (int, list, City("a")):
            with pytest.raises(InvalidInput, match="typed entries"):
                db.entries.typed(kind)  # type: ignore[arg-type]


async def test_a_class_that_is_expected_is_what_comes_back(scene: Scene) -> None:
    async with scene.open() as db:
        await db.schemas.register(City)
        await db.entries.set("a", {"name": "a", "population": 1, "tags": []})
        found = await db.entries.get("a", expect=City)
        assert found is not None
        population: int = found.value.population
        assert (found.value, population) == (City("a", 1), 1)
        again = await db.entries.scope("n").get("a", expect=City)
        assert again is None
        await db.entries.set("b", {"name": 1})
        with pytest.raises(SchemaValidationFailed):
            await db.entries.get("b", expect=City)


async def test_typed_entries_stand_in_scopes_of_users(scene: Scene) -> None:
    async with scene.open() as db:
        cities = db.entries.scope("users", "+").typed(City, "cities")
        assert cities.segments == ("users", "+", "cities")
        await cities.set("a", City("A"))
        assert await db.entries.has(StoreKey("a", ("users", "+", "cities")))
        assert [str(one.key) async for one in cities.scope("b").items()] == []
