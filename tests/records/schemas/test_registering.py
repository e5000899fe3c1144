"""Registering: schemas are entries of a reserved namespace, known by what they say."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

import holdfast.sync
from holdfast import Entry, StoreKey, digest
from holdfast.contract.errors import (
    DriverMissing,
    InvalidInput,
    InvalidKey,
    SchemaNotFound,
    SchemaValidationFailed,
)
from holdfast.records.schemas import registry
from holdfast.records.schemas.checks import CheckSchema
from holdfast.records.schemas.schema import CHECK, FORM_BYTES_MAX
from tests.records.schemas.shapes import PEOPLE, PERSON, StructPerson, check_person
from tests.store.scene import Scene, listed


@pytest.mark.row("K-082")
async def test_a_registered_schema_is_an_entry_of_the_first_version(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        found = await db.schemas.register(PERSON, modified_by="ada", comment="people")
        entry = await db.entries.require(StoreKey(found, ("__schema",)))
        assert entry.value == PERSON
        assert entry.metadata.version == 1
        assert entry.metadata.data_hash == found == digest(PERSON).hex
        assert (entry.metadata.modified_by, entry.metadata.comment) == ("ada", "people")
    async with kept_scene.open() as db:
        assert [str(one.key) for one in await listed(db.schemas.items())] == [f"__schema:{found}"]
        await db.schemas.validate({"name": "Ada"}, found)


@pytest.mark.row("K-083")
async def test_ordinary_writes_into_the_namespace_of_schemas_are_refused(scene: Scene) -> None:
    async with scene.open() as db:
        found = await db.schemas.register(PERSON)
        key = StoreKey(found, ("__schema",))
        await db.entries.set("a", 1)
        before = await db.head()
        entries = db.entries
        refused: list[Any] = [
            entries.set(StoreKey("x", ("__schema",)), 1),
            entries.set_many({"b": 1, "__schema:x": 1}),
            entries.modify(key, lambda _: {}),
            entries.delete(key),
            entries.touch(key),
            entries.rename(key, "c"),
            entries.rename("a", "__schema:x"),
            entries.set("__schema/required:namespaces", {}),
        ]
        for write in refused:
            with pytest.raises(InvalidKey):
                await write
        async with db.transaction() as tx:
            with pytest.raises(InvalidKey):
                await tx.entries.set("__schema:x", 1)
        assert await db.head() == before
        assert (await db.entries.require(key)).value == PERSON


@pytest.mark.row("K-084")
async def test_the_order_of_keys_makes_no_other_schema(scene: Scene) -> None:
    permuted = {name: PERSON[name] for name in reversed(PERSON)}
    permuted["properties"] = {name: PERSON["properties"][name] for name in ("tags", "name", "age")}
    async with scene.open() as db:
        found = await db.schemas.register(PERSON)
        before = await db.head()
        assert await db.schemas.register(permuted) == found
        assert await db.head() == before  # Registered once.
        assert await db.schemas.register({**PERSON, "title": "Person"}) != found


async def test_registering_at_once_makes_one_entry(scene: Scene) -> None:
    async with scene.open() as db, scene.open() as other:
        found = await asyncio.gather(*(one.schemas.register(PERSON) for one in (db, other) * 10))
        assert len(set(found)) == 1
        entry = await db.entries.require(StoreKey(found[0], ("__schema",)))
        assert entry.metadata.version == 1


async def test_a_schema_changed_after_registering_stays_what_it_was(scene: Scene) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    async with scene.open() as db:
        found = await db.schemas.register(schema)
        schema["properties"] = {}
        with pytest.raises(holdfast.StoreError):
            await db.entries.set("a", {"n": "x"}, schema_hash=found)


@pytest.mark.row("K-087")
@pytest.mark.parametrize("kind", PEOPLE)
async def test_schemas_of_every_kind_have_a_stored_form_and_a_lasting_digest(
    scene: Scene, kind: str
) -> None:
    async with scene.open() as db, scene.open() as other:
        found = await db.schemas.register(PEOPLE[kind])
        assert await other.schemas.register(PEOPLE[kind]) == found
        entry: Entry[Any] = await db.entries.require(StoreKey(found, ("__schema",)))
        assert digest(entry.value).hex == found
        if kind == "function":
            assert entry.value == {"x-holdfast-check": "check_person"}
        else:
            assert "name" in str(entry.value)


def test_what_describes_a_class_is_no_part_of_its_schema() -> None:
    from holdfast.records.schemas.adapting import schema_of

    def worded(doc: str) -> list[type]:
        @dataclass
        class Plain:
            description: str
            examples: int = 1

        class Struct(msgspec.Struct):
            description: str

        class Model(pydantic.BaseModel):
            description: str = pydantic.Field(description=doc, examples=[doc])

        for kind in (Plain, Struct, Model):
            kind.__doc__ = doc
            kind.__qualname__ = kind.__name__
        return [Plain, Struct, Model]

    for one, other in zip(worded("One."), worded("Another."), strict=True):
        first, second = schema_of(one), schema_of(other)
        assert first.digest == second.digest
        # Fields that are called like a keyword are still fields.
        assert "'description': {" in str(first.form)


NO_SCHEMAS: list[Any] = [
    {"type": "strin"}, {"properties": 3}, {"required": "name"}, {"minimum": "1"},
    {"$schema": "https://example.org/nobody", "type": "object"}, {"pattern": "("},
    {"$ref": "#/$defs/nothing"}, {"x-holdfast-class": "City"}, {"x-holdfast-check": "c"},
    {"enum": [object()]}, {1: 2}, {"const": float("nan")}, {"title": "\ud800"}, {"const": b"x"},
    {"pattern": "a" * FORM_BYTES_MAX},
    None, True, 3, "text", [], int, str, object(), asyncio,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(NO_SCHEMAS)))
async def test_what_is_no_schema_is_refused_when_it_is_registered(place: int) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        before = await db.head()
        with pytest.raises(InvalidInput):
            await db.schemas.register(NO_SCHEMAS[place])
        assert await db.head() == before
        assert await listed(db.schemas.items()) == []


async def test_a_coroutine_function_or_one_without_a_name_is_no_check(scene: Scene) -> None:
    async def waits(_value: Any) -> None: ...

    async with scene.open() as db:
        for wrong in (waits, lambda _: True):
            with pytest.raises(InvalidInput):
                await db.schemas.register(wrong)
        with pytest.raises(InvalidInput):
            await db.schemas.register(PERSON, name="person")
        with pytest.raises(InvalidInput):
            await db.schemas.register(check_person, name="")
        named = await db.schemas.register(lambda value: value > 0, name="positive v1")
        await db.entries.set("n", 1, schema_hash=named)


class Unheard(msgspec.Struct):
    field: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


class Odd(msgspec.Struct):
    field: complex


@pytest.mark.parametrize("kind", [Unheard, Odd])
async def test_a_class_without_a_json_schema_is_refused(scene: Scene, kind: type) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput, match=kind.__name__):
            await db.schemas.register(kind)


@pytest.mark.parametrize("kind", ["struct", "dataclass", "pydantic", "function"])
async def test_the_code_of_a_schema_is_asked_for_by_name(scene: Scene, kind: str) -> None:
    given = PEOPLE[kind]
    async with scene.open() as db:
        found = await db.schemas.register(given)
    async with scene.open() as db:
        if scene.engine == "memory":
            found = await db.schemas.register(given)
        async with scene.open() as other:
            with pytest.raises(SchemaNotFound, match=given.__name__) as caught:
                await other.entries.set("a", {"name": "Ada"}, schema_hash=found)
            assert caught.value.details["source"] == given.__qualname__
            assert await other.entries.get("a") is None
            # The class itself brings its code along.
            await other.schemas.validate({"name": "Ada"}, given)
            await other.entries.set("a", {"name": "Ada"}, schema_hash=found)


async def test_a_class_that_nobody_registered_is_not_found(scene: Scene) -> None:
    async with scene.open() as db:
        for given in (StructPerson, PERSON, "nothing", "f" * 64, digest(1)):
            with pytest.raises(SchemaNotFound):
                await db.schemas.validate({}, given)
            with pytest.raises(SchemaNotFound):
                await db.schemas.require("a", given)


@pytest.mark.row("K-081")
def test_a_store_that_uses_no_schema_loads_nothing_of_them() -> None:
    program = """
import asyncio, sys, holdfast, holdfast.sync

async def main():
    async with holdfast.open("memory://") as db:
        await db.entries.set("a:b", {"n": 1}, tags=["x"])
        await db.entries.modify("a:b", lambda value: value)
        await db.entries.get("a:b")
        async with db.transaction() as tx:
            await tx.entries.delete("a:b")
        before = set(sys.modules)
        await db.schemas.register({"type": "object"})
        return before, set(sys.modules) - before

before, later = asyncio.run(main())
wanted = {"jsonschema_rs", "holdfast.records.schemas.registry"}
assert wanted <= later, later
loaded = [name for name in before if "schemas" in name or name in ("jsonschema_rs", "pydantic")]
assert loaded == [], loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_without_the_library_the_extra_is_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    async with scene.open() as db:
        with pytest.raises(DriverMissing, match=r"holdfast-db\[schema\]"):
            await db.schemas.register(PERSON)
        # Classes need nothing but what the core has.
        found = await db.schemas.register(StructPerson)
        await db.entries.set("a", {"name": "Ada"}, schema_hash=found)


# --- Many, odd and moved ones ----------------------------------------------------------------


@pytest.mark.parametrize("kind", PEOPLE)
async def test_a_schema_moves_to_another_database_as_it_stands(tmp_path: Path, kind: str) -> None:
    async with (
        holdfast.open("memory://", housekeeping=False) as db,
        holdfast.open(f"sqlite:///{tmp_path / 'other.db'}", housekeeping=False) as other,
    ):
        found = await db.schemas.register(PEOPLE[kind])
        [stored] = await listed(db.schemas.items())
        assert await other.schemas.adopt(stored.value, modified_by="mover") == found
        assert await other.schemas.adopt(stored.value) == found
        [adopted] = await listed(other.schemas.items())
        assert (adopted.value, adopted.metadata.modified_by) == (stored.value, "mover")
        if kind != "json":
            # Its code does not come along.
            with pytest.raises(SchemaNotFound):
                await other.entries.set("a", {"name": "Ada"}, schema_hash=found)
            assert await other.schemas.register(PEOPLE[kind]) == found
        await other.entries.set("a", {"name": "Ada"}, schema_hash=found)
        for wrong in ({"type": "strin"}, {"$ref": "http://example.org"}, 5, {CHECK: object()}):
            with pytest.raises(InvalidInput):
                await other.schemas.adopt(wrong)  # type: ignore[arg-type]


class Own:
    """A schema of somebody's own making."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, form: dict[str, Any], digest_hex: str | None = None) -> None:
        self.form = form
        self.digest = digest_hex or digest(form).hex
        self.judged: list[Any] = []

    def __eq__(self, other: object) -> bool:
        return self is other

    def validate(self, value: Any) -> None:
        self.judged.append(value)


async def test_a_schema_of_ones_own_is_used_as_it_is(scene: Scene) -> None:
    own = Own({CHECK: "own v1"})
    async with scene.open() as db:
        found = await db.schemas.register(own)
        assert found == own.digest
        await db.entries.set("a", 1, schema_hash=found)
        await db.schemas.validate(2, own)
        assert own.judged == [1, 2]
        for wrong in (Own({CHECK: "x"}, "f" * 64), Own({"type": "object"})):
            with pytest.raises(InvalidInput):
                await db.schemas.register(wrong)


async def test_what_is_remembered_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "COMPILED_MAX", 3)
    monkeypatch.setattr(registry, "CODE_MAX", 3)
    async with scene.open() as db:
        schemas = db.schemas
        found = [await schemas.register({"type": "integer", "maximum": n}) for n in range(9)]
        for n, one in enumerate(found):
            await db.entries.set("n", n, schema_hash=one)
            with pytest.raises(SchemaValidationFailed):
                await db.entries.set("n", n + 1, schema_hash=one)
            assert len(schemas._compiled) <= 3
        checks = [CheckSchema(lambda value: value, f"check {n}") for n in range(4)]
        for check in checks[:3]:
            await schemas.register(check)
        await schemas.register(checks[0])
        with pytest.raises(InvalidInput, match="at most 3"):
            await schemas.register(checks[3])


def test_threads_share_a_handle_and_its_schemas(scene: Scene) -> None:
    failed: list[BaseException] = []
    with holdfast.sync.open(scene.url, components=scene.components, housekeeping=False) as db:

        def work(number: int) -> None:
            try:
                schema = db.schemas.register({**PERSON, "title": str(number % 3)})
                good: list[Any] = [None]
                for n in range(30):
                    good[0] = {"name": "Ada", "age": n}
                    db.entries.modify(f"t{number}", lambda _: good[0], schema_hash=schema)
                    good[0] = {"n": n}
                    with pytest.raises(SchemaValidationFailed):
                        db.entries.modify(f"t{number}", lambda _: good[0], schema_hash=schema)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert {db.entries.require(f"t{n}").metadata.version for n in range(8)} == {30}
