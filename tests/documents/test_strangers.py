"""What a stranger hands in: each is told what is wrong with it, and nothing is written."""

from __future__ import annotations

import asyncio
import enum
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

import holdfast.sync
from holdfast.contract.errors import (
    DuplicateKey,
    IndexNotFound,
    InvalidInput,
    InvalidKey,
    InvalidQuery,
    InvalidValue,
    KeyNotFound,
    SchemaValidationFailed,
    SerializationFailed,
    StoreError,
)
from holdfast.documents.query import F
from holdfast.store.keyspaces import Keyspaces
from tests.store.scene import Scene, listed


@dataclass
class City:
    name: str
    size: int = 0


# --- Keys and patches ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", [["a"], {"a": 1}, {"a"}], ids=lambda key: type(key).__name__)
async def test_keys_that_cannot_be_hashed_are_no_keys(scene: Scene, key: Any) -> None:
    async with scene.open() as db:
        cities = db.collection("cities")
        await cities.set("a", {"n": 1})
        with pytest.raises(InvalidKey, match=type(key).__name__):
            await cities.get_many(["a", key])
        with pytest.raises(InvalidKey, match=type(key).__name__):
            await cities.delete_many(["a", key])
        assert await cities.has("a")


async def test_a_patch_without_an_end(scene: Scene) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"deeper": deep}
    async with scene.open() as db:
        cities = db.collection("cities")
        await cities.set("a", {"n": 1})
        for changes in (endless, deep, {"in": endless}):
            with pytest.raises(InvalidInput, match="levels of nesting"):
                await cities.patch("a", changes)
        assert await cities.get("a") == {"n": 1}
        flat: dict[str, Any] = {}
        for _ in range(150):
            flat = {"deeper": flat}
        assert (await cities.patch("a", flat))["n"] == 1


# --- The function of a transaction --------------------------------------------------------------


@pytest.mark.parametrize("work", [None, 5, "work", {}])
async def test_the_work_of_a_transaction_that_is_no_function(scene: Scene, work: Any) -> None:
    async with scene.open() as db:
        cities, head = db.collection("cities"), await db.head()
        with pytest.raises(InvalidInput, match=f"function.*found a {type(work).__name__}"):
            await cities.transaction(work)
        with pytest.raises(InvalidInput, match=f"function.*found a {type(work).__name__}"):
            await db.transact(work)
        assert await db.head() == head


async def test_a_plain_function_as_the_work_of_a_transaction(scene: Scene) -> None:
    async with scene.open() as db:
        cities = db.collection("cities")

        def plain(_transaction: Any) -> int:
            return 5

        given: Any = plain
        with pytest.raises(InvalidInput, match="async def"):
            await cities.transaction(given)
        with pytest.raises(InvalidInput, match="async def"):
            await db.transact(given)
        await cities.transaction(lambda tx: tx.set("a", {"n": 1}))  # An awaitable is one.
        assert await cities.size() == 1


async def test_what_the_work_of_a_transaction_forgot_to_await(scene: Scene) -> None:
    async with scene.open() as db:
        cities = db.collection("cities")

        async def forgets(tx: Any) -> Any:
            return tx.set("a", {"n": 1})

        with pytest.raises(InvalidInput, match="coroutine"):
            await cities.transaction(forgets)
        with pytest.raises(InvalidInput, match="coroutine"):
            await db.transact(lambda tx: forgets(tx.collection("cities")))
        assert await cities.size() == 0


def test_a_coroutine_function_as_the_work_of_a_transaction_without_a_loop() -> None:
    with holdfast.sync.open("memory://") as db:
        cities = db.collection("cities")

        async def work(_tx: Any) -> None:
            cities.set("a", {"n": 1})

        given: Any = work
        for transact in (cities.transaction, db.transact):
            with pytest.raises(InvalidInput, match="coroutine"):
                transact(given)
        assert cities.size() == 0


# --- Types that change --------------------------------------------------------------------------


async def test_a_document_that_does_not_fit_is_named_wherever_it_is_read(scene: Scene) -> None:
    async with scene.open() as db:
        plain, cities = db.collection("cities"), db.collection("cities", City)
        await plain.create_index("size", "size")
        await cities.set("good", City("Rome", 1))
        await plain.set("old", {"title": "Paris", "size": 2})

        async def live() -> Any:
            async with cities.live() as kept:
                return kept.results

        for ask in (
            lambda: cities.get("old"),
            lambda: cities.get_many(["good", "old"]),
            cities.find_many,
            lambda: cities.find_many(size=2),
            lambda: cities.find_many(size=2),  # A query whose plan is known.
            lambda: cities.find_one(F.size == 2),
            lambda: cities.find_one(F.size == 2),
            cities.page,
            lambda: listed(cities.query()),
            lambda: listed(cities.values()),
            lambda: listed(cities.entries()),
            lambda: cities.modify("old", lambda city: city or City("")),
            lambda: cities.patch("old", {"size": 3}),
            live,
        ):
            with pytest.raises(SchemaValidationFailed) as caught:
                await ask()
            assert caught.value.key == "old"
            # A log shows the text alone, or the text and the notes.
            assert any("'old'" in note and "'cities'" in note for note in caught.value.__notes__)
        # What is not read as a whole stays readable.
        assert await cities.count(size=2) == 1
        selected: list[Any] = [one.value async for one in cities.query(select=["size"])]
        assert selected == [{"size": 1}, {"size": 2}]


async def test_of_many_documents_the_one_that_is_refused_is_named(scene: Scene) -> None:
    async with scene.open() as db:
        plain, cities = db.collection("plain"), db.collection("cities", City)
        refused: list[tuple[Any, type[StoreError]]] = [
            (lambda: cities.set_many({"a": City("x"), "b": {"name": "y"}}), InvalidValue),  # type: ignore[dict-item]
            (lambda: cities.set_many({"a": City("x"), "b": City(1)}), SchemaValidationFailed),  # type: ignore[arg-type]
            (lambda: plain.set_many({"a": {}, "b": {"x": object()}}), SerializationFailed),
            (lambda: plain.set_many({"a": {}, "b": {"x": float("nan")}}), SerializationFailed),
        ]
        for attempt, kind in refused:
            with pytest.raises(kind) as caught:
                await attempt()
            assert caught.value.details["key"] == "b"
        assert await plain.size() == await cities.size() == 0


class Person(pydantic.BaseModel):
    name: str


class Admin(Person):
    rights: list[str] = []


class Held(pydantic.BaseModel):
    name: str
    word: pydantic.SecretStr = pydantic.SecretStr("hidden")


class Raising(pydantic.BaseModel):
    name: str

    @pydantic.model_serializer
    def out(self) -> dict[str, Any]:
        raise ValueError("hidden")


class Base(msgspec.Struct):
    name: str


class Derived(Base):
    more: int = 0


@pytest.mark.parametrize("value", [Held(name="x"), Raising(name="x")])
async def test_a_model_that_does_not_become_plain_is_refused_by_name(
    scene: Scene, value: pydantic.BaseModel
) -> None:
    async with scene.open() as db:
        people = db.collection("people", type(value))
        with pytest.raises(InvalidValue, match=type(value).__name__) as caught:
            await people.set("a", value)
        assert "hidden" not in str(caught.value)
        assert await people.size() == 0


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Person, Admin(name="Ada", rights=["all"])), (Base, Derived("Ada", 7))],
    ids=["pydantic", "msgspec"],
)
async def test_what_a_subclass_adds_is_not_lost(scene: Scene, kind: Any, value: Any) -> None:
    async with scene.open() as db:
        await db.collection("people", kind).set("a", value)
        assert await db.collection("people", type(value)).get("a") == value


async def test_a_change_is_told_whatever_shape_the_document_had(scene: Scene) -> None:
    async with scene.open() as db:
        plain, cities = db.collection("cities"), db.collection("cities", City)
        old = {"title": "Paris"}
        await plain.set_many({"a": old, "b": old, "c": old})
        begin = await db.head()
        heard: list[Any] = []
        cities.on("change", heard.extend)
        cities.subscribe("*", heard.append)
        async with plain.live() as untyped, cities.live() as live:
            moved: list[Any] = []
            await cities.set("a", City("Rome"))
            moved.append(await anext(live))
            await cities.delete("b")
            moved.append(await anext(live))
            assert [(one.key, one.before, one.value) for one in moved] == [
                ("a", old, City("Rome")), ("b", old, None),
            ]  # fmt: skip
            assert len(untyped) == 3
        told = [("a", old, City("Rome")), ("b", old, None)]
        assert [(one.key, one.before, one.after) for one in heard] == [told[0]] * 2 + [told[1]] * 2
        watch = cities.watch(since=begin)
        watched = [await anext(watch), await anext(watch)]
        assert [(one.key, one.before, one.after) for one in watched] == told
        await plain.set("c", {"title": "still old"})
        with pytest.raises(SchemaValidationFailed) as caught:
            await anext(watch)
        assert caught.value.key == "c"
        await cities.set("d", City("Oslo"))
        assert (await anext(watch)).after == City("Oslo")  # It goes on behind that one.
        await watch.aclose()  # type: ignore[attr-defined]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Inner:
    x: int = 0


class InnerModel(pydantic.BaseModel):
    x: int = 0


@dataclass
class Priced:
    price: Decimal
    day: date
    id: uuid.UUID
    colour: Colour
    lasts: timedelta
    place: tuple[int, ...]
    marks: set[int]
    inner: Inner


class PricedModel(pydantic.BaseModel):
    price: Decimal
    day: date
    id: uuid.UUID
    colour: Colour
    lasts: timedelta
    place: tuple[int, ...]
    marks: set[int]
    inner: InnerModel


@pytest.mark.parametrize(("kind", "inner"), [(Priced, Inner), (PricedModel, InnerModel)])
async def test_a_patch_takes_what_a_set_takes(scene: Scene, kind: Any, inner: Any) -> None:
    first = {
        "price": Decimal("1.50"), "day": date(2020, 1, 2), "id": uuid.UUID(int=5),
        "colour": Colour.RED, "lasts": timedelta(days=1), "place": (1,), "marks": {1},
        "inner": inner(x=1),
    }  # fmt: skip
    second = {
        "price": Decimal("2.5"), "day": date(2021, 1, 2), "id": uuid.UUID(int=6),
        "colour": Colour.BLUE, "lasts": timedelta(days=2), "place": (2, 3), "marks": {2},
        "inner": inner(x=2),
    }  # fmt: skip
    async with scene.open() as db:
        things = db.collection("things", kind)
        await things.set("a", kind(**first))
        for name, value in second.items():
            assert getattr(await things.patch("a", {name: value}), name) == value
        assert await things.get("a") == kind(**second)
        await things.patch("a", {"inner": {"x": 7}})
        assert (await things.require("a")).inner == inner(x=7)
        with pytest.raises(InvalidValue, match=kind.__name__):
            await things.patch("a", {"inner": object()})
        with pytest.raises(SchemaValidationFailed):
            await things.patch("a", {"price": "much"})


# --- Unique values ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_documents_of_one_commit_swap_their_unique_values(scene: Scene, order: str) -> None:
    async with scene.open() as db:
        cities = db.collection("cities")
        await cities.create_index("n", "n", unique=True)
        await cities.set_many({"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}})
        swapped = {"a": {"n": 2}, "b": {"n": 1}}
        await cities.set_many({key: swapped[key] for key in order})
        assert [await cities.find_one(n=n) for n in (1, 2, 3)] == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert {one.key: one.value["n"] async for one in cities.query(order_by="n", hint="n")} == {
            "a": 2, "b": 1, "c": 3,
        }  # fmt: skip
        # Round in a circle, and one that hands its value on to a new document.
        await cities.set_many({"a": {"n": 1}, "b": {"n": 3}, "c": {"n": 2}})
        await cities.set_many({"new": {"n": 1}, "a": {"n": 9}})
        assert await db.check() == []
        for clash in (
            {"a": {"n": 2}, "b": {"n": 4}},
            {"a": {"n": 3}, "x": {"n": 3}, "b": {"n": 8}},
        ):
            with pytest.raises(DuplicateKey):
                await cities.set_many(clash)
        assert await cities.find_one(n=9) == {"n": 9}


# --- Others ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "set", "add", "set_many", "modify", "patch", "delete", "touch", "batch", "transaction",
        "transact", "create_index", "drop_index", "set_quota",
    ],
)  # fmt: skip
async def test_a_write_after_another_process_dropped_the_collection(
    scene: Scene, call: str
) -> None:
    async with scene.open() as db:
        cities = db.collection("cities")
        await cities.create_index("n", "n")
        await cities.set("a", {"n": 1})
        # A directory of its own, as another process has one: this one's has not noticed yet.
        await Keyspaces(db._open_engine()).drop("documents", "cities")
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "set": lambda: cities.set("a", {"n": 2}),
            "add": lambda: cities.add({"n": 2}),
            "set_many": lambda: cities.set_many({"a": {"n": 2}}),
            "modify": lambda: cities.modify("a", lambda found: {"n": 2, "found": found}),
            "patch": lambda: cities.patch("a", {"n": 2}),
            "delete": lambda: cities.delete("a"),
            "touch": lambda: cities.touch("a", 5),
            "batch": lambda: cities.batch([("set", "a", {"n": 2})]),
            "transaction": lambda: cities.transaction(lambda tx: tx.set("a", {"n": 2})),
            "transact": lambda: db.transact(lambda tx: tx.collection("cities").set("a", {"n": 2})),
            "create_index": lambda: cities.create_index("n", "n"),
            "drop_index": lambda: cities.drop_index("n"),
            "set_quota": lambda: cities.set_quota(7),
        }
        if call in ("patch", "drop_index"):
            with pytest.raises(KeyNotFound if call == "patch" else IndexNotFound):
                await calls[call]()
        else:
            made = await calls[call]()
            assert not made or call in ("add", "modify", "batch")
            assert call != "batch" or made.success
        stands = [one.value async for one in cities.query()]
        wrote = call not in ("patch", "delete", "touch", "create_index", "drop_index", "set_quota")
        wanted: list[Any] = [{"n": 2}] if wrote else []
        assert stands == ([{"n": 2, "found": None}] if call == "modify" else wanted)
        assert [one.name for one in await cities.list_indexes()] == ["n"] * (call == "create_index")
        assert (await cities.quota()).documents_max == (7 if call == "set_quota" else None)


# --- Handlers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
async def test_what_is_told_after_a_commit_cannot_cancel_its_writer(
    scene: Scene, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.open() as db:
        cities = db.collection("cities")

        def raises(*_: Any) -> None:
            raise kind

        for event in ("after:set", "after:get", "after:delete", "change"):
            cities.on(event, raises)
        with caplog.at_level(logging.CRITICAL + 1, "holdfast"), cities.subscribe("*", raises):
            await cities.set("a", {"n": 1})
            assert await cities.get("a") == {"n": 1}
            assert await cities.delete("a")


@pytest.mark.parametrize(
    ("value", "instead"), [(Decimal(1), "stored as text"), (date(2020, 1, 1), "isoformat")]
)
def test_a_query_says_how_documents_have_a_value_that_they_cannot_hold(
    value: Any, instead: str
) -> None:
    with holdfast.sync.open("memory://") as db, pytest.raises(InvalidQuery, match=instead):
        db.collection("things").count(F.a == value)


PROGRESSING: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "delete": lambda db, told: db.collection("a").delete_matching(F.n >= 0, progress=told),
    "patch": lambda db, told: db.collection("a").patch_matching({"z": 1}, progress=told),
    "modify": lambda db, told: db.collection("a").modify_matching(dict, progress=told),
    "index": lambda db, told: db.collection("a").create_index("n", "n", progress=told),
    "entries": lambda db, told: db.entries.delete_matching("a:#", progress=told),
    "set_many": lambda db, told: db.entries.set_many({"b": 1}, atomic=False, progress=told),
}


@pytest.mark.parametrize("call", PROGRESSING)
async def test_a_progress_that_cannot_be_told_is_refused_before_anything_is_written(
    scene: Scene, call: str
) -> None:
    async def awaited(_count: int) -> None: ...

    async with scene.open() as db:
        await db.collection("a").set_many({f"k{number}": {"n": number} for number in range(5)})
        await db.entries.set_many({"a:1": 1, "a:2": 2})
        head = await db.head()
        for progress in (5, "x", awaited):
            with pytest.raises(InvalidInput, match="progress is a"):
                await PROGRESSING[call](db, progress)
            assert await db.head() == head
