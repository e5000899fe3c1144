"""Payloads: one object from several keys, all of one moment."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pydantic
import pytest

import holdfast
from holdfast import Database
from holdfast.contract.errors import (
    InvalidInput,
    InvalidKey,
    KeyNotFound,
    SchemaValidationFailed,
    StoreClosed,
)
from holdfast.records.payloads import DEPTH_MAX, form_payload
from tests.store.scene import Scene, core_of, engine_of

MAPPING: dict[str, Any] = {
    "name": "users:name",
    "age": "users:age",
    "address": {"city": "places:city", "zip": "places:zip"},
}
FORMED = {"name": "Ada", "age": 36, "address": {"city": "London", "zip": None}}


async def filled(db: Database) -> None:
    await db.entries.set_many(
        {"users:name": "Ada", "users:age": 36, "places:city": "London", "places:zip": None}
    )


class StructAddress(msgspec.Struct):
    city: str
    zip: str | None = "unknown"


class StructPerson(msgspec.Struct):
    name: str
    age: int
    address: StructAddress


@dataclass
class Address:
    city: str
    zip: str | None = "unknown"


@dataclass
class Person:
    name: str
    age: int
    address: Address
    tags: list[str] = field(default_factory=list)


class ModelAddress(pydantic.BaseModel):
    city: str
    zip: str | None = "unknown"


class ModelPerson(pydantic.BaseModel):
    name: str
    age: int
    address: ModelAddress


@pytest.mark.row("K-066")
async def test_a_mapping_of_fields_to_keys_becomes_an_object(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        flat = {"n": "users:name", "a": "users:age", "c": "places:city"}
        assert await db.create_payload(flat) == {"n": "Ada", "a": 36, "c": "London"}
        assert await db.create_payload(MAPPING) == FORMED
        assert await db.create_payload({}) == {}
        person = await db.create_payload(MAPPING, into=Person)
        assert person == Person("Ada", 36, Address("London", None))
        struct = await db.create_payload(MAPPING, into=StructPerson)
        assert struct == StructPerson("Ada", 36, StructAddress("London", None))
        model = await db.create_payload(MAPPING, into=ModelPerson)
        assert model == ModelPerson(
            name="Ada", age=36, address=ModelAddress(city="London", zip=None)
        )


@pytest.mark.row("K-066")
async def test_all_keys_are_read_together(scene: Scene) -> None:
    """One read however many fields: over a slow engine, the time of one."""
    async with scene.open() as db:
        await db.entries.set_many({f"a:{n}": n for n in range(50)})
        engine = engine_of(db)
        asked: list[int] = []

        class Slow:
            """Each read takes its time."""

            def __getattr__(self, name: str) -> Any:
                return getattr(engine, name)

            async def read(self, keys: Sequence[bytes], **given: Any) -> Any:
                asked.append(len(keys))
                await asyncio.sleep(0)
                return await engine.read(keys, **given)

        slow: Any = Slow()
        storage = db._open_parts().storage.on(slow)
        formed = await form_payload(
            core_of(db, storage=storage), {f"f{n}": f"a:{n}" for n in range(50)}
        )
        assert formed == {f"f{n}": n for n in range(50)}
        assert asked == [50]


@pytest.mark.row("K-066")
async def test_a_payload_is_of_one_moment(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"a": 0, "b": "0" * 300_000})

        async def write() -> None:
            for n in range(1, 40):
                await db.entries.set_many({"a": n, "b": str(n % 10) * 300_000})

        async def read() -> None:
            for _ in range(40):
                formed = await db.create_payload({"a": "a", "inner": {"b": "b"}})
                assert formed["inner"]["b"] == str(formed["a"] % 10) * 300_000

        await asyncio.gather(write(), read())


@pytest.mark.row("K-067")
async def test_a_missing_key_raises_and_names_its_field(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        await db.entries.delete("places:city")
        with pytest.raises(KeyNotFound) as caught:
            await db.create_payload(MAPPING)
        assert (caught.value.field, caught.value.key) == ("address.city", "places:city")
        assert caught.value.code == "KEY_NOT_FOUND"
        assert "'address.city'" in str(caught.value)


@pytest.mark.row("K-067")
async def test_a_missing_key_becomes_none_or_a_default(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        await db.entries.delete("users:age")
        formed = await db.create_payload(MAPPING, missing="default")
        assert formed == {**FORMED, "age": None}
        person = await db.create_payload(MAPPING, missing="default", default=0, into=Person)
        assert person.age == 0
        shared: list[int] = []
        formed = await db.create_payload({"a": "x", "b": "y"}, missing="default", default=shared)
        formed["a"].append(1)
        assert (formed["b"], shared) == ([], [])


@pytest.mark.row("K-067")
async def test_a_missing_key_is_left_out(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        await db.entries.delete("places:zip")
        formed = await db.create_payload(MAPPING, missing="omit")
        assert formed["address"] == {"city": "London"}
        classes: list[type[Any]] = [Person, StructPerson, ModelPerson]
        for into in classes:
            made = await db.create_payload(MAPPING, missing="omit", into=into)
            assert made.address.zip == "unknown"  # The class has a default of its own.


async def test_an_expired_entry_is_missing_and_a_stored_none_is_not(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", None)
        await db.entries.set("b", 1, ttl=10)
        scene.clock.advance(11)
        assert await db.create_payload({"a": "a", "b": "b"}, missing="omit") == {"a": None}


@pytest.mark.parametrize("into", [Person, StructPerson, ModelPerson])
async def test_values_that_do_not_make_the_class_are_refused_by_path(
    scene: Scene, into: type
) -> None:
    async with scene.open() as db:
        await filled(db)
        await db.entries.set("places:city", {"secret": 1})
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.create_payload(MAPPING, into=into)
        assert [path for path, _ in caught.value.violations] == ["$.address.city"]
        assert "secret" not in repr(caught.value)
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.create_payload({"name": "users:name"}, into=into)
        assert "age" in repr(caught.value)


async def test_two_fields_of_one_key_do_not_share_their_value(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("list", [1])
        formed = await db.create_payload({"a": "list", "b": "list"})
        formed["a"].append(2)
        assert formed["b"] == [1]


def _nested(depth: int) -> dict[str, Any]:
    mapping: dict[str, Any] = {"a": "key"}
    for _ in range(depth - 1):
        mapping = {"a": mapping}
    return mapping


CIRCLE: dict[str, Any] = {}
CIRCLE["a"] = CIRCLE

BAD: list[tuple[Any, dict[str, Any], type[Exception]]] = [
    ("text", {}, InvalidInput), (None, {}, InvalidInput), ([("a", "b")], {}, InvalidInput),
    ({1: "a"}, {}, InvalidInput), ({"a": 5}, {}, InvalidInput), ({"a": None}, {}, InvalidInput),
    ({"a": "x/y"}, {}, InvalidKey), ({"a": ""}, {}, InvalidKey),
    (_nested(DEPTH_MAX + 1), {}, InvalidInput), (CIRCLE, {}, InvalidInput),
    ({}, {"missing": "ignore"}, InvalidInput), ({}, {"into": list}, InvalidInput),
    ({}, {"into": None}, InvalidInput), ({}, {"into": Person("a", 1, Address("b"))}, InvalidInput),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(BAD)))
async def test_what_describes_no_payload_is_refused(place: int) -> None:
    mapping, options, error = BAD[place]
    async with holdfast.open("memory://", housekeeping=False) as db:
        await db.entries.set("key", 1)
        with pytest.raises(error):
            await db.create_payload(mapping, **options)
        assert await db.create_payload(_nested(DEPTH_MAX))


async def test_a_closed_handle_forms_no_payload(scene: Scene) -> None:
    async with scene.open() as db:
        pass
    with pytest.raises(StoreClosed):
        await db.create_payload({"a": "a"})
    with pytest.raises(StoreClosed):
        _ = db.schemas
