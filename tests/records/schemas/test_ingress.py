"""Ingress: every way into the store is judged, and what is refused leaves no trace."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

import holdfast.sync
from holdfast import KEEP, Conflict, Database, StoreKey, Transaction, Unsupported
from holdfast.contract.errors import (
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    ReadOnly,
    SchemaNotFound,
    SchemaValidationFailed,
)
from holdfast.records.decorators.base import Decorator
from holdfast.records.decorators.read_only import ReadOnlyStore
from holdfast.records.decorators.validated import Validated
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.requirements import REFRESH_S, REQUIRED
from holdfast.records.schemas import registry
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import SetValue, Write
from holdfast.store.feed_row import Cause
from tests.records.schemas.shapes import FIRST, PERSON, SECOND
from tests.store.scene import Scene, core_of, first, listed

GOOD, BAD = {"name": "Ada"}, {"name": 5}

Call = Callable[[KeyValueStoreInterface, str | None], Awaitable[Any]]


async def _imported(entries: KeyValueStoreInterface, schema: str | None) -> Any:
    from holdfast.records.options import WriteOptions

    options = WriteOptions(schema_hash=schema)
    return await entries.write([Write("people:new", SetValue(BAD), options, cause=Cause.IMPORTED)])


def _broken_in_place(value: Any) -> Any:
    value["name"] = 5
    return value


#: Each call would write what does not fit.
CALLS: dict[str, Call] = {
    "set": lambda one, schema: one.set("people:new", BAD, schema_hash=schema),
    "overwrite": lambda one, schema: one.set("people:ada", BAD, schema_hash=schema),
    "set_many": lambda one, schema: one.set_many(
        {"people:new": GOOD, "people:bad": BAD}, schema_hash=schema
    ),
    "modify": lambda one, schema: one.modify("people:ada", lambda _: BAD, schema_hash=schema),
    "modify new": lambda one, schema: one.modify("people:new", lambda _: BAD, schema_hash=schema),
    "modify in place": lambda one, schema: one.modify(
        "people:ada", _broken_in_place, schema_hash=schema
    ),
    "import": _imported,
}

#: The same for values that are in the database already.
MOVES: dict[str, Call] = {
    "touch": lambda one, _: one.touch("people:old"),
    "restore": lambda one, _: one.restore("people:fixed", 1),
    "undelete": lambda one, _: one.undelete("people:gone"),
    "rename": lambda one, _: one.rename("outside", "people:new"),
}


async def _prepared(db: Database) -> None:
    """Entries from before anything was required."""
    await db.entries.set("people:ada", GOOD)
    await db.entries.set("people:old", BAD)
    await db.entries.set("people:fixed", BAD)
    await db.entries.set("people:fixed", GOOD)
    await db.entries.set("people:gone", BAD)
    await db.entries.delete("people:gone")
    await db.entries.set("outside", BAD)


async def _state(db: Database) -> tuple[int, list[Any]]:
    entries = await listed(db.entries.items())
    return await db.head(), [(str(one.key), one.value, one.revision) for one in entries]


@pytest.mark.row("K-085", "trap 49")
@pytest.mark.parametrize("name", CALLS)
async def test_a_value_that_does_not_fit_its_schema_leaves_no_trace(
    scene: Scene, name: str
) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        await _prepared(db)
        before = await _state(db)
        with pytest.raises(SchemaValidationFailed):
            await CALLS[name](db.entries, schema)
        assert await _state(db) == before
        # Had there been a change, it would be told before this one.
        watch = db.watch(since=before[0])
        await db.entries.set("after", 1)
        [change] = await first(watch, 1)
        assert str(change.key) == "after"
        await watch.aclose()


@pytest.mark.row("K-085", "trap 49")
@pytest.mark.parametrize("name", [*CALLS, *MOVES])
async def test_a_namespace_that_requires_a_schema_takes_nothing_else(
    scene: Scene, name: str
) -> None:
    async with scene.open() as db:
        await _prepared(db)
        await db.schemas.require("people", await db.schemas.register(PERSON))
        before = await _state(db)
        with pytest.raises(SchemaValidationFailed) as caught:
            await (CALLS | MOVES)[name](db.entries, None)
        assert "people" in str(caught.value.key)
        assert await _state(db) == before
        async with db.transaction() as tx:
            with pytest.raises(SchemaValidationFailed):
                await (CALLS | MOVES)[name](tx.entries, None)
        assert await _state(db) == before


@pytest.mark.row("K-086", "trap 49")
@pytest.mark.parametrize("digest", ["f" * 64, "f", "", "x" * 256, "F" * 64, "a/b", "é"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_schema_that_nobody_registered_is_no_pass(name: str, digest: str) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        await _prepared(db)
        before = await _state(db)
        with pytest.raises(SchemaNotFound):
            await CALLS[name](db.entries, digest)
        async with db.transaction() as tx:
            with pytest.raises(SchemaNotFound):
                await CALLS[name](tx.entries, digest)
        assert await _state(db) == before


@pytest.mark.row("K-011", "K-124")
async def test_what_fits_is_written_with_its_schema(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        schema = await db.schemas.register(PERSON)
        made = await db.entries.set("a", GOOD, schema_hash=schema)
        assert made.metadata.schema_hash == schema
        modified = await db.entries.modify(
            "a", lambda value: {**value, "age": 36}, schema_hash=schema
        )
        assert modified.metadata.schema_hash == schema
        plain = await db.entries.set("a", 1)
        assert plain.metadata.schema_hash is None
    async with kept_scene.open() as db:
        past = await listed(db.entries.history("a"))
        assert [one.metadata.schema_hash for one in past] == [schema, schema]


async def test_one_that_does_not_fit_stops_all_of_a_commit(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        before = await db.head()
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.entries.set_many({"a": GOOD, "b": BAD, "c": GOOD}, schema_hash=schema)
        assert caught.value.key == "b"
        assert await db.head() == before


async def test_a_modify_is_judged_by_what_it_makes_of_the_newest_value(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register({"type": "integer", "maximum": 5})

        async def add() -> None:
            await db.entries.modify("n", lambda n: (n or 0) + 1, schema_hash=schema)

        outcomes = await asyncio.gather(*(add() for _ in range(9)), return_exceptions=True)
        assert [type(one) for one in outcomes].count(SchemaValidationFailed) == 4
        assert (await db.entries.require("n")).value == 5


async def test_a_transaction_rolled_back_by_a_refusal_wrote_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        before = await db.head()

        async def work(tx: Transaction) -> None:
            await tx.entries.set("a", GOOD, schema_hash=schema)
            await tx.entries.set("b", BAD, schema_hash=schema)

        with pytest.raises(SchemaValidationFailed):
            await db.transact(work)
        assert await db.head() == before


# --- Requirements ----------------------------------------------------------------------------


async def test_a_required_schema_is_stamped_on_writes_that_name_none(scene: Scene) -> None:
    async with scene.open() as db:
        await _prepared(db)
        schema = await db.schemas.register(PERSON)
        await db.schemas.require("people", schema)
        assert (await db.entries.set("people:new", GOOD)).metadata.schema_hash == schema
        assert (await db.entries.set("people/a/b:c", GOOD)).metadata.schema_hash == schema
        for write in (
            db.entries.touch("people:ada", ttl=KEEP),
            db.entries.modify("people:old", lambda _: GOOD),
            db.entries.restore("people:fixed", 2),
            db.entries.rename("people:ada", "people:renamed"),
            db.entries.set("people:new", GOOD, schema_hash=schema),
        ):
            entry = await write
            assert entry is not None
            assert entry.metadata.schema_hash == schema
        assert await db.entries.delete("people:new") is True
        # What is beside the namespace is not in it.
        for key in ("people", "peoples:a", "x/people:a"):
            assert (await db.entries.set(key, BAD)).metadata.schema_hash is None


async def test_the_longest_namespace_decides(scene: Scene) -> None:
    async with scene.open() as db:
        number = await db.schemas.register({"type": "number"})
        text = await db.schemas.register({"type": "string"})
        flag = await db.schemas.register({"type": "boolean"})
        await db.schemas.require("", number)
        await db.schemas.require("a", text)
        await db.schemas.require("a/b%2Fc", flag)
        for key, value in {
            "x": 1, "b:x": 1, "a": 1, "a:x": "1", "a/b:x": "1", "a/b%2Fc:x": True,
            "a/b%2Fc/d:x": True,
        }.items():  # fmt: skip
            await db.entries.set(key, value)
            with pytest.raises(SchemaValidationFailed):
                await db.entries.set(key, [value])
        assert await db.schemas.required() == {"": number, "a": text, "a/b%2Fc": flag}
        await db.schemas.waive("a")
        await db.entries.set("a:x", 1)
        await db.schemas.waive("")
        await db.schemas.waive("never")
        await db.entries.set("a:x", "anything")
        assert await db.schemas.required() == {"a/b%2Fc": flag}


async def test_a_write_that_names_another_schema_is_refused(scene: Scene) -> None:
    async with scene.open() as db:
        required = await db.schemas.register(PERSON)
        other = await db.schemas.register({"type": "object"})
        await db.schemas.require("people", required)
        before = await db.head()
        with pytest.raises(SchemaValidationFailed, match="requires schema") as caught:
            await db.entries.set("people:a", GOOD, schema_hash=other)
        assert caught.value.schema_hash == required
        assert await db.head() == before


@pytest.mark.parametrize("namespace", ["__schema", "__x/y", "a//b", "/", "\ud800", "people:a"])
async def test_what_is_no_namespace_of_the_user_requires_nothing(namespace: str) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        schema = await db.schemas.register(PERSON)
        with pytest.raises(InvalidKey):
            await db.schemas.require(namespace, schema)
        with pytest.raises(InvalidKey):
            await db.schemas.waive(namespace)
        assert await db.schemas.required() == {}


@pytest.mark.row("K-086")
async def test_what_is_required_must_be_registered(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(SchemaNotFound):
            await db.schemas.require("people", "f" * 64)
        await db.entries.set("people:a", BAD)


REQUIRE = """
import asyncio, sys, holdfast

async def main():
    async with holdfast.open(sys.argv[1], housekeeping=False) as db:
        await db.schemas.require("people", await db.schemas.register({"type": "object"}))

asyncio.run(main())
"""


async def test_what_another_process_requires_holds_here_within_a_second(
    kept_scene: Scene,
) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("people:a", 1)  # Nothing is required, as of now.
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", REQUIRE, kept_scene.url], capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert REFRESH_S < 1
        kept_scene.clock.advance(REFRESH_S)
        with pytest.raises(SchemaValidationFailed):
            await db.entries.set("people:a", 2)
        assert (await db.entries.require("people:a")).value == 1


async def test_another_handle_sees_in_time_what_is_required_and_what_no_longer(
    scene: Scene,
) -> None:
    async with scene.open() as db, scene.open() as other:
        schema = await db.schemas.register(PERSON)
        await other.entries.set("people:a", BAD)
        await db.schemas.require("people", schema)
        with pytest.raises(SchemaValidationFailed):
            await db.entries.set("people:a", BAD)  # Here it holds at once.
        scene.clock.advance(REFRESH_S)
        with pytest.raises(SchemaValidationFailed):
            await other.entries.set("people:a", BAD)
        await db.schemas.waive("people")
        scene.clock.advance(REFRESH_S)
        await other.entries.set("people:a", BAD)


async def test_a_look_that_began_before_does_not_undo_what_was_required_since(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        store: Any = db._open_parts().composition.rules._store
        get, has_read, goes_on = store.get, asyncio.Event(), asyncio.Event()

        async def slow(key: StoreKey) -> Any:
            entry = await get(key)
            has_read.set()
            await goes_on.wait()
            return entry

        store.get = slow
        scene.clock.advance(REFRESH_S)
        writer = asyncio.ensure_future(db.entries.set("a", 1))
        await has_read.wait()
        store.get = get
        scene.clock.advance(0.001)
        await db.schemas.require("people", schema)
        goes_on.set()
        await writer
        with pytest.raises(SchemaValidationFailed):
            await db.entries.set("people:a", BAD)


async def test_what_is_required_is_looked_up_twice_a_second_at_most(scene: Scene) -> None:
    async with scene.open() as db:
        store: Any = db._open_parts().composition.rules._store
        reads, get = [], store.get

        async def counting(key: StoreKey) -> Any:
            reads.append(key)
            return await get(key)

        await db.entries.set("a", 1)
        store.get = counting
        for _ in range(50):
            await db.entries.set("a", 1)
        assert reads == []
        scene.clock.advance(REFRESH_S)
        for _ in range(50):
            await db.entries.set("a", 1)
        assert reads == [REQUIRED]


async def test_renaming_a_big_value_into_a_namespace_judges_it(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("big", "x" * 700_000)
        await db.entries.set("list", ["x" * 700_000])
        schema = await db.schemas.register({"type": "string"})
        await db.schemas.require("texts", schema)
        moved = await db.entries.rename("big", "texts:big")
        assert (moved.metadata.schema_hash, moved.value) == (schema, "x" * 700_000)
        with pytest.raises(SchemaValidationFailed):
            await db.entries.rename("list", "texts:list")


async def test_a_database_opened_for_reading_registers_nothing(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        schema = await db.schemas.register(FIRST)
    async with kept_scene.handle(kept_scene.url + "?read_only=true") as db:
        assert await db.schemas.register(FIRST) == schema
        await db.schemas.validate({"name": "x"}, schema)
        with pytest.raises(ReadOnly):
            await db.schemas.register(SECOND)
        with pytest.raises(ReadOnly):
            await db.schemas.require("a", schema)


# --- Among decorators ------------------------------------------------------------------------


class HandingOn(Decorator):
    """Hands everything on, and keeps what was written."""

    def __init__(self, inner: KeyValueStoreInterface) -> None:
        super().__init__(inner)
        self.seen: list[Write] = []

    def around(self, inner: KeyValueStoreInterface) -> "HandingOn":
        return HandingOn(inner)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self.seen += writes
        return await self.inner.write(writes)


@pytest.mark.row("K-124", "K-055")
@pytest.mark.parametrize("inside", [False, True])
async def test_the_schema_passes_through_decorators_in_any_order(
    scene: Scene, inside: bool
) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        rules = db._open_parts().composition.rules
        handing: HandingOn
        store: KeyValueStoreInterface
        if inside:
            handing = HandingOn(core_of(db))
            store = Validated(handing, rules)
        else:
            handing = HandingOn(Validated(core_of(db), rules))
            store = handing
        entry = await store.set("a", GOOD, schema_hash=schema)
        assert entry.metadata.schema_hash == schema
        assert [one.options.schema_hash for one in handing.seen] == [schema]
        assert await store.get("a", expect=schema) == entry
        with pytest.raises(SchemaValidationFailed):
            await store.set("a", BAD, schema_hash=schema)
        reader = ReadOnlyStore(store)
        assert await reader.get("a", expect=PERSON) == entry
        assert (await listed(store.history("a"))) == []


async def test_the_core_alone_refuses_to_expect_a_schema(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        with pytest.raises(Unsupported, match="Validated"):
            await core_of(db).get("a", expect=schema)


async def test_conditions_are_judged_as_without_a_schema(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        await db.schemas.require("p", schema)
        made = await db.entries.set("p:a", GOOD, if_absent=True)
        with pytest.raises(Conflict):
            await db.entries.set("p:a", GOOD, if_absent=True)
        with pytest.raises(Conflict):
            await db.entries.modify("p:a", lambda _: GOOD, if_revision=made.revision + 1)
        same = await db.entries.modify("p:a", lambda value: value, if_changed=True)
        assert same.revision == made.revision


def test_the_sync_handle_has_it_all(scene: Scene) -> None:
    with holdfast.sync.open(scene.url, components=scene.components, housekeeping=False) as db:
        schema = db.schemas.register(PERSON)
        db.schemas.require("people", PERSON)
        assert db.schemas.required() == {"people": schema}
        with pytest.raises(SchemaValidationFailed):
            db.entries.set("people:a", BAD)
        assert db.entries.set("people:a", GOOD).metadata.schema_hash == schema
        assert [one.key for one in db.schemas.items()] == [StoreKey(schema, ("__schema",))]
        newer = db.schemas.register({"type": "array"})
        db.schemas.register_migration(PERSON, newer, lambda value: [value["name"]])
        found = db.entries.get("people:a", expect=newer, write_back=False)
        assert found is not None
        assert found.value == ["Ada"]
        with pytest.raises(InvalidInput):
            db.schemas.migrate("people", to=newer)
        assert db.create_payload({"who": "people:a"}) == {"who": GOOD}


async def test_the_number_of_requirements_is_limited(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "REQUIREMENTS_MAX", 2)
    async with scene.open() as db:
        schema = await db.schemas.register(PERSON)
        for namespace in ("a", "b", "a"):
            await db.schemas.require(namespace, schema)
        with pytest.raises(InvalidInput, match="at most 2"):
            await db.schemas.require("c", schema)
        assert await db.schemas.required() == {"a": schema, "b": schema}


async def test_the_same_judge_stands_around_another_store(scene: Scene) -> None:
    async with scene.open() as db:
        await db.schemas.require("people", await db.schemas.register(PERSON))
        other = Validated(core_of(db), db._open_parts().composition.rules).around(core_of(db))
        with pytest.raises(SchemaValidationFailed):
            await other.set("people:a", BAD)
        await other.set("people:a", GOOD)


async def test_requirements_that_are_damaged_let_nothing_through(scene: Scene) -> None:
    async with scene.handle() as db:
        await core_of(db, privileged=True).set(REQUIRED, ["not a mapping"])
        with pytest.raises(IntegrityFailed):
            await db.entries.set("people:a", BAD)
        assert await db.entries.get("people:a") is None
