"""Egress: what is read has the expected shape, or is not read; and whole namespaces migrate."""

import asyncio
from typing import Any

import pytest

import holdfast
from holdfast import Conflict, Database, StoreError
from holdfast.contract.errors import (
    InvalidInput,
    SchemaMigrationMissing,
    SchemaNotFound,
    SchemaValidationFailed,
    SerializationFailed,
    VersionNotFound,
)
from holdfast.records.decorators.validated import Validated
from holdfast.records.schemas import migrating, migrations
from tests.records.schemas.shapes import FIRST, SECOND, THIRD, first_to_second, second_to_third
from tests.store.scene import Scene, core_of, listed, until

ADA, ADA_SECOND = {"name": "Ada Lovelace"}, {"names": ["Ada", "Lovelace"]}
ADA_THIRD = {"given": "Ada", "family": "Lovelace"}


async def registered(db: Database) -> tuple[str, str, str]:
    """Three schemas with the steps between them."""
    first = await db.schemas.register(FIRST)
    second = await db.schemas.register(SECOND)
    third = await db.schemas.register(THIRD)
    db.schemas.register_migration(first, second, first_to_second)
    db.schemas.register_migration(second, third, second_to_third)
    return first, second, third


async def causes(db: Database, key: str) -> list[str]:
    """Why each change of a key happened, so far."""
    watch = db.watch(key, since=0)
    found = []
    await db.entries.set("end", 1)
    async for change in db.watch(since=0):
        if str(change.key) == "end":
            break
        if str(change.key) == key:
            found.append(change.cause)
    await watch.aclose()
    return found


@pytest.mark.row("K-088")
async def test_an_old_value_is_read_in_the_expected_shape_and_stored_so_once(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        old = await db.entries.set("a", ADA, schema_hash=first, tags=["x"], ttl=60)
        found = await db.entries.get("a", expect=second)
        assert found is not None
        assert found.value == ADA_SECOND
        assert (found.metadata.version, found.metadata.schema_hash) == (2, second)
        assert found.metadata.tags == ["x"]
        assert found.metadata.expires_at == old.metadata.expires_at
        for _ in range(3):
            assert await db.entries.get("a", expect=second) == found
        assert await db.entries.get("a") == found
        [past] = await listed(db.entries.history("a"))
        assert (past.value, past.metadata.schema_hash) == (ADA, first)
        assert await causes(db, "a") == ["write", "migrated"]


@pytest.mark.row("K-090")
async def test_fifty_readers_at_once_migrate_over_two_steps_with_one_write(scene: Scene) -> None:
    async with scene.open() as db, scene.open() as other:
        first, _, third = await registered(db)
        await registered(other)
        await db.entries.set("a", ADA, schema_hash=first)
        found = await asyncio.gather(
            *(one.entries.get("a", expect=third) for one in (db, other) * 25)
        )
        assert [one and one.value for one in found] == [ADA_THIRD] * 50
        assert {one and one.metadata.version for one in found} == {2}
        assert await causes(db, "a") == ["write", "migrated"]


@pytest.mark.row("K-089", "trap 49")
async def test_without_a_way_there_is_an_error_and_never_the_old_shape(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, third = await registered(db)
        ninth = await db.schemas.register({"type": "array"})
        await db.entries.set("new", ADA_THIRD, schema_hash=third)
        await db.entries.set("old", ADA, schema_hash=first)
        before = await db.head()
        for key, expected in (("old", ninth), ("new", first), ("new", second)):
            with pytest.raises(SchemaMigrationMissing) as caught:
                await db.entries.get(key, expect=expected)
            assert caught.value.details["expected"] == expected
            assert caught.value.key == key
            assert "Ada" not in repr(caught.value)
        with pytest.raises(SchemaNotFound):
            await db.entries.get("old", expect="f" * 64)
        assert await db.head() == before
        assert await db.entries.get("nothing", expect=ninth) is None


async def test_a_step_whose_result_does_not_fit_stores_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        first = await db.schemas.register(FIRST)
        second = await db.schemas.register(SECOND)
        for step, error in (
            (lambda value: value, SchemaValidationFailed),
            (lambda value: {"names": object()}, StoreError),
            (lambda value: value["nothing"], KeyError),
        ):
            db.schemas.register_migration(first, second, step)
            made = await db.entries.set("a", ADA, schema_hash=first)
            with pytest.raises(error):
                await db.entries.get("a", expect=second)
            assert await db.entries.get("a") == made


async def test_without_writing_back_only_the_reader_sees_the_new_shape(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, third = await registered(db)
        made = await db.entries.set("a", ADA, schema_hash=first)
        before = await db.head()
        found = await db.entries.get("a", expect=third, write_back=False)
        assert found is not None
        assert found.value == ADA_THIRD
        assert found.revision == made.revision
        assert (await db.entries.require("a")).value == ADA
        past = await db.entries.get("a", version=1, expect=second)
        assert past is not None
        assert past.value == ADA_SECOND
        async with await db.snapshot() as view:
            seen = await view.entries.get("a", expect=second)
            assert seen is not None
            assert seen.value == ADA_SECOND
        async with db.transaction(read_only=True) as tx:
            seen = await tx.entries.get("a", expect=second)
            assert seen is not None
            assert seen.value == ADA_SECOND
        assert await db.head() == before


async def test_a_database_opened_for_reading_migrates_for_its_reader(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        first, second, _ = await registered(db)
        await db.entries.set("a", ADA, schema_hash=first)
    async with kept_scene.handle(kept_scene.url + "?read_only=true") as db:
        db.schemas.register_migration(first, second, first_to_second)
        found = await db.entries.get("a", expect=second)
        assert found is not None
        assert found.value == ADA_SECOND
        assert (await db.entries.require("a")).value == ADA


async def test_what_a_transaction_migrates_is_part_of_it(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.entries.set("a", ADA, schema_hash=first)
        tx = await db.transaction().begin()
        found = await tx.entries.get("a", expect=second)
        assert found is not None
        assert found.value == ADA_SECOND
        await tx.rollback()
        assert (await db.entries.require("a")).value == ADA
        async with db.transaction() as tx:
            await tx.entries.get("a", expect=second)
        assert (await db.entries.require("a")).value == ADA_SECOND


async def test_a_value_without_a_schema_has_to_fit_or_to_be_brought_there(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        made = await db.entries.set("fits", ADA)
        assert await db.entries.get("fits", expect=first) == made
        await db.entries.set("does not", {"alias": "Ada Lovelace"})
        with pytest.raises(SchemaValidationFailed):
            await db.entries.get("does not", expect=first)
        db.schemas.register_migration(None, first, lambda value: {"name": value["alias"]})
        found = await db.entries.get("does not", expect=second)
        assert found is not None
        assert (found.value, found.metadata.schema_hash) == (ADA_SECOND, second)


async def test_a_namespace_that_requires_another_schema_keeps_what_it_has(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.schemas.require("p", first)
        await db.entries.set("p:a", ADA)
        found = await db.entries.get("p:a", expect=second)
        assert found is not None
        assert found.value == ADA_SECOND
        assert (await db.entries.require("p:a")).value == ADA


async def test_a_reader_that_is_overtaken_looks_again(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.entries.set("a", ADA, schema_hash=first)
        core = core_of(db)
        overtaken: list[bool] = []
        validated: Any = db.entries
        while not isinstance(validated, Validated):
            validated = validated.inner
        write = validated._write

        async def overtaking(writes: Any) -> Any:
            if not overtaken:
                overtaken.append(True)
                await core.set("a", {"name": "Grace Hopper"}, schema_hash=first)
            return await write(writes)

        validated._write = overtaking
        found = await db.entries.get("a", expect=second)
        assert found is not None
        assert (found.value, found.metadata.version) == ({"names": ["Grace", "Hopper"]}, 3)


async def test_subscribers_hear_of_what_a_reader_migrated(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.entries.set("a", ADA, schema_hash=first)
        heard: list[Any] = []
        stop = db.entries.subscribe("a", heard.append)
        await db.entries.get("a", expect=second)
        await until(lambda: bool(heard))
        [change] = heard
        assert (change.cause, change.before.value, change.after.value) == (
            "migrated", ADA, ADA_SECOND,
        )  # fmt: skip
        stop()


async def test_a_past_value_that_is_gone_cannot_be_expected(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.retention.keep("p", values="none")
        await db.entries.set("p:a", ADA, schema_hash=first)
        await db.entries.set("p:a", ADA, schema_hash=first)
        with pytest.raises(VersionNotFound):
            await db.entries.get("p:a", version=1, expect=second)


# --- Steps -----------------------------------------------------------------------------------


async def test_steps_never_lead_in_a_circle(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, third = await registered(db)
        for old, new in ((third, first), (second, first), (first, first), (third, SECOND)):
            with pytest.raises(InvalidInput, match="circle"):
                db.schemas.register_migration(old, new, lambda value: value)
        # A short cut is no circle, and is taken.
        db.schemas.register_migration(FIRST, THIRD, lambda _: {"given": "short", "family": "cut"})
        await db.entries.set("a", ADA, schema_hash=first)
        found = await db.entries.get("a", expect=third)
        assert found is not None
        assert found.value == {"given": "short", "family": "cut"}


async def test_a_long_chain_is_walked_in_order(scene: Scene) -> None:
    async with scene.open() as db:
        digests = [
            await db.schemas.register({"properties": {"n": {"const": n}}, "required": ["n"]})
            for n in range(60)
        ]
        for n in reversed(range(59)):
            db.schemas.register_migration(
                digests[n], digests[n + 1], lambda value: {"n": value["n"] + 1}
            )
        await db.entries.set("a", {"n": 0}, schema_hash=digests[0])
        found = await db.entries.get("a", expect=digests[-1])
        assert found is not None
        assert (found.value, found.metadata.version) == ({"n": 59}, 2)


# --- Whole namespaces ------------------------------------------------------------------------


async def filled(db: Database, schema: str, count: int) -> None:
    await db.entries.set_many(
        {f"people:{n:04}": {"name": f"No {n}"} for n in range(count)},
        schema_hash=schema, tags=["p"],
    )  # fmt: skip


async def test_a_namespace_migrates_whole_with_progress(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, third = await registered(db)
        await filled(db, first, 600)
        await db.entries.set("people:0003", {"names": ["No", "3"]}, schema_hash=second)
        await db.entries.set("people/below:a", ADA, schema_hash=first)
        outside = [
            await db.entries.set(key, ADA, schema_hash=first) for key in ("people", "peoples:a")
        ]
        seen: list[tuple[int, int]] = []
        before = await db.head()
        done = await db.schemas.migrate(
            "people", to=third, progress=lambda *told: seen.append(told)
        )
        assert done == migrating.Migrated(601, 601)
        assert seen == [(256, 256), (512, 512), (601, 601)]
        assert await db.head() <= before + 4
        entries = await listed(db.entries.items("people/#"))
        inside = [one for one in entries if one.key.namespace]
        assert len(inside) == 601
        assert {one.metadata.schema_hash for one in inside} == {third}
        assert len(await listed(db.entries.find_by_tag("p"))) == 600
        for entry in outside:
            assert await db.entries.get(entry.key) == entry
        # Again there is nothing to do.
        before = await db.head()
        assert await db.schemas.migrate("people", to=third) == migrating.Migrated(601, 0)
        assert await db.head() == before


async def test_a_migration_that_fails_goes_on_from_there(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await filled(db, first, 700)
        bad = await db.entries.set("people:0300", {"name": "No 300"})
        await core_of(db).set("people:0300", {"alias": "x"})
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.schemas.migrate("people", to=second)
        assert caught.value.key == "people:0300"
        entries = await listed(db.entries.items("people/#"))
        assert [one.metadata.schema_hash for one in entries[299:302]] == [second, None, first]
        looked: list[int] = []

        def counted(value: dict[str, Any]) -> dict[str, Any]:
            looked.append(1)
            return first_to_second(value)

        db.schemas.register_migration(first, second, counted)
        await db.entries.set("people:0300", bad.value, schema_hash=first)
        # What earlier runs did is counted, and not done again.
        assert await db.schemas.migrate("people", to=second) == migrating.Migrated(700, 700)
        assert len(looked) == 400
        entries = await listed(db.entries.items("people/#"))
        assert {one.metadata.schema_hash for one in entries} == {second}
        # Nothing is left of where it stood.
        assert await listed(db.entries.items("__schema/migrating/#")) == []


async def test_a_migration_leaves_later_writes_of_others_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await filled(db, first, 20)
        write = migrating.Migration._commit
        newer = {"names": ["newer"]}

        async def overtaken(self: migrating.Migration, *given: Any) -> migrating.Migrated:
            await db.entries.set("people:0007", {"name": "later on"}, schema_hash=first)
            await db.entries.set("people:0008", newer, schema_hash=second)
            await db.entries.delete("people:0009")
            return await write(self, *given)

        monkeypatch.setattr(migrating.Migration, "_commit", overtaken)
        assert await db.schemas.migrate("people", to=second) == migrating.Migrated(20, 18)
        entries = {str(one.key): one for one in await listed(db.entries.items("people/#"))}
        assert len(entries) == 19
        assert {one.metadata.schema_hash for one in entries.values()} == {second}
        assert entries["people:0007"].value == {"names": ["later", "on"]}
        assert entries["people:0008"].value == newer


async def test_a_migration_against_what_the_namespace_requires_is_refused(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.schemas.require("people/inner", first)
        await db.entries.set("people/inner:a", ADA)
        with pytest.raises(InvalidInput, match="Require the new schema first"):
            await db.schemas.migrate("people", to=second)
        assert (await db.entries.require("people/inner:a")).value == ADA
        await db.schemas.require("people/inner", second)
        assert (await db.schemas.migrate("", to=second)).written == 1


@pytest.mark.parametrize("namespace", ["a/+", "a/#", "#", "+", "a/b%2F%3A%25", "ü"])
async def test_namespaces_of_any_name_migrate(scene: Scene, namespace: str) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        await db.entries.set(f"{namespace}:x", ADA, schema_hash=first)
        await db.entries.set("a/other:x", ADA, schema_hash=first)
        assert await db.schemas.migrate(namespace, to=second) == migrating.Migrated(1, 1)
        assert (await db.entries.require("a/other:x")).value == ADA


async def test_entries_without_a_schema_are_stamped_when_they_fit(scene: Scene) -> None:
    async with scene.open() as db:
        first, _, _ = await registered(db)
        await db.entries.set("p:a", ADA)
        assert await db.schemas.migrate("p", to=first) == migrating.Migrated(1, 1)
        assert (await db.entries.require("p:a")).metadata.schema_hash == first


async def test_big_values_migrate(scene: Scene) -> None:
    async with scene.open() as db:
        first, second, _ = await registered(db)
        for n in range(8):
            await db.entries.set(f"p:{n}", {"name": "x" * 900_000}, schema_hash=first)
        seen: list[int] = []
        await db.schemas.migrate("p", to=second, progress=lambda done, _: seen.append(done))
        assert seen == [5, 8]  # By bytes.
        assert (await db.entries.require("p:7")).value == {"names": ["x" * 900_000]}


async def test_a_conflict_of_every_try_is_told() -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        first, second, _ = await registered(db)
        await db.entries.set("a", ADA, schema_hash=first)

        class Losing:
            """Somebody is always faster."""

            def __getattr__(self, name: str) -> Any:
                return getattr(core_of(db), name)

            async def write(self, writes: Any) -> Any:
                raise Conflict("somebody was faster")

        rules = db._open_parts().composition.rules
        schema = await db.schemas.schema(second)
        losing: Any = Losing()
        work = migrating.Migration(losing, rules, schema, db.schemas.upgraded)
        with pytest.raises(Conflict, match="Migrate again"):
            await work.run("", None)


async def test_a_handle_knows_so_many_steps_and_no_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STEPS_MAX", 2)
    async with scene.open() as db:
        first, second, third = await registered(db)
        with pytest.raises(InvalidInput, match="at most 2"):
            db.schemas.register_migration(first, third, second_to_third)
        db.schemas.register_migration(first, second, first_to_second)  # In place of itself.


async def test_a_step_that_fails_names_the_entry(scene: Scene) -> None:
    async with scene.open() as db:
        old = await db.schemas.register({"type": "object"})
        new = await db.schemas.register({"type": "object", "required": ["born"]})
        await db.entries.set("people:ada", {"name": "Ada"}, schema_hash=old)
        db.schemas.register_migration(old, new, lambda value: {"born": value["year"]})
        for attempt in (
            db.schemas.migrate("people", to=new),
            db.entries.get("people:ada", expect=new),
        ):
            with pytest.raises(KeyError, match="year") as failure:
                await attempt
            assert any("'people:ada'" in note for note in failure.value.__notes__)
            assert (await db.entries.require("people:ada")).metadata.schema_hash == old


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (None, SchemaMigrationMissing),
        (lambda value: value, SchemaValidationFailed),
        (lambda value: {"names": object()}, SerializationFailed),
        (lambda value: value["nothing"], KeyError),
    ],
    ids=["missing", "does not fit", "not data", "raises"],
)
async def test_a_migration_that_fails_names_its_key(
    scene: Scene, step: Any, expected: type[Exception]
) -> None:
    async with scene.open() as db:
        first = await db.schemas.register(FIRST)
        second = await db.schemas.register(SECOND)
        if step is not None:
            db.schemas.register_migration(first, second, step)
        made = await db.entries.set("people/of:ada", ADA, schema_hash=first)
        with pytest.raises(expected) as caught:
            await db.schemas.migrate("people", to=second)
        # A traceback shows the notes; programs read the field.
        assert any("'people/of:ada'" in note for note in caught.value.__notes__)
        if isinstance(caught.value, StoreError):
            assert caught.value.details["key"] == "people/of:ada"
        assert "Lovelace" not in repr(caught.value) + "".join(caught.value.__notes__)
        assert await db.entries.get("people/of:ada") == made
