"""Parts of typed documents, as their fields hold them, in queries and patches."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from holdfast.contract.errors import InvalidInput, InvalidQuery, InvalidValue
from holdfast.documents import REMOVE, F
from tests.store.scene import Scene

NOW = datetime(2026, 2, 3, tzinfo=UTC)


class State(enum.Enum):
    new = "new"
    paid = "paid"


class Level(enum.IntEnum):
    low = 1
    high = 2


@dataclasses.dataclass
class Line:
    sku: uuid.UUID
    price: Decimal = Decimal(0)


@dataclasses.dataclass
class Order:
    state: State
    level: Level = Level.low
    lines: list[Line] = dataclasses.field(default_factory=list)
    note: str | None = None


class Renamed(msgspec.Struct, rename="camel", tag="renamed"):
    first_name: str
    age: int = 0


class Name(TypedDict, total=False):
    first: str
    last: str


class Address(pydantic.BaseModel):
    city: str
    state: State = State.new


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    address: Address
    born_in: int = pydantic.Field(1990, alias="bornIn")


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 0


SKU = uuid.UUID(int=7)


@pytest.mark.parametrize("indexed", [True, False])
async def test_conditions_take_what_fields_hold(scene: Scene, *, indexed: bool) -> None:
    async with scene.open() as db:
        orders = db.collection("orders", type=Order)
        if indexed:
            await orders.create_index("state", "state")
            await orders.create_index("level", "level")
            await orders.create_index("sku", "lines.sku")
        paid = Order(State.paid, Level.high, [Line(SKU)])
        await orders.set_many({"a": Order(State.new), "b": paid})
        for _ in range(2):  # The second time by what is known of such queries.
            assert await orders.find_many(state=State.paid) == [paid]
            assert await orders.find_many(F.state == State.paid) == [paid]
            assert await orders.find_many(F.state.in_([State.paid])) == [paid]
            assert await orders.find_many(F.level > Level.low) == [paid]
            assert await orders.find_many(F.lines.sku == SKU) == [paid]
            assert await orders.count(state="paid") == 1
        for other in (Decimal(1), NOW.date(), object(), enum.Enum("Odd", {"one": object()}).one):  # type: ignore[attr-defined]
            with pytest.raises(InvalidQuery):
                await orders.find_many(note=other)


async def test_patches_take_what_fields_hold(scene: Scene) -> None:
    async with scene.open() as db:
        orders = db.collection("orders", type=Order)
        await orders.set("a", Order(State.new, note="x"))
        line = Line(SKU, Decimal("1.50"))
        changed = await orders.patch("a", {"state": State.paid, "lines": [line], "note": None})
        assert changed == Order(State.paid, lines=[line]) == await orders.get("a")
        assert await orders.patch_matching({"level": Level.high}, state=State.paid) == 1
        assert (await orders.require("a")).level is Level.high
        people = db.collection("people", type=Person)
        await people.set(
            "ada", Person.model_validate({"address": {"city": "London"}, "bornIn": 1815})
        )
        moved = await people.patch("ada", {"address": Address(city="Paris", state=State.paid)})
        assert moved.address == Address(city="Paris", state=State.paid)
        assert moved.born_in == 1815
        with pytest.raises(InvalidValue, match="TypeError"):
            await orders.patch("a", {"note": object()})
        assert (await orders.require("a")).note is None


@pytest.mark.parametrize(
    ("kind", "value", "wrong", "said"),
    [
        (Order, Order(State.new), "stat", "did you mean 'state'"),
        (Renamed, Renamed("Ada"), "first_name", "did you mean 'firstName'"),
        (Name, {"first": "Ada"}, "middle", "It has first, last"),
        (
            Person,
            Person.model_validate({"address": {"city": "London"}}),
            "adress",
            "did you mean 'address'",
        ),
    ],
)
async def test_a_patch_names_fields_of_the_type(
    scene: Scene, kind: Any, value: Any, wrong: str, said: str
) -> None:
    async with scene.open() as db:
        things = db.collection("things", type=kind)
        await things.set("a", value)
        revision = db.revision
        with pytest.raises(InvalidInput, match=said):
            await things.patch("a", {wrong: "x"})
        with pytest.raises(InvalidInput, match=said):
            await things.patch_matching({wrong: "x"})
        assert db.revision == revision
        # What some other program left there can be removed all the same.
        await db.collection("things").patch("a", {wrong: 1})
        await things.patch("a", {wrong: None})
        assert wrong not in await db.collection("things").require("a")


async def test_a_patch_names_what_it_likes_where_the_type_says_so(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things", type=Open)
        await things.set("a", Open())
        assert (await things.patch("a", {"b": 2})).model_extra == {"b": 2}
        plain = db.collection("plain")
        await plain.set("a", {})
        assert await plain.patch("a", {"b": 2}) == {"b": 2}
        renamed = db.collection("renamed", type=Renamed)
        await renamed.set("a", Renamed("Ada"))
        assert await renamed.patch("a", {"firstName": "Bob", "type": "renamed"}) == Renamed("Bob")


async def test_none_is_no_document_of_a_type(scene: Scene) -> None:
    async with scene.open() as db:
        orders = db.collection("orders", type=Order)
        with pytest.raises(InvalidInput, match="none stands there"):
            await orders.modify("absent", lambda order: order)  # type: ignore[arg-type, return-value]
        assert await orders.modify("absent", lambda _: REMOVE) is None
        plain = db.collection("plain")
        assert await plain.modify("absent", lambda value: value) is None
        assert await plain.has("absent")


def test_an_order_that_is_called_says_how_it_is_spelled() -> None:
    with pytest.raises(InvalidQuery, match=r"-F\.name"):
        F.total.desc()
