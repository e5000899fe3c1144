"""Serializers of a handle: the order of mappings, formats of one's own, and helpful refusals."""

import json
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest

import holdfast
from holdfast.codecs.serializers import Serializer, registry
from holdfast.contract.errors import ConfigInvalid, SerializationFailed
from tests.store.scene import Scene, listed

Point = namedtuple("Point", "x y")  # noqa: PYI024 - what somebody may try to store


class BoxSize(Enum):
    BIG = "big"


class Colour(StrEnum):
    RED = "red"


@dataclass
class City:
    name: str


class ExactSerializer(Serializer):
    """JSON with tuples and Decimal told apart: values that MessagePack refuses."""

    name = "exact"
    code = 15

    def encode(self, value: Any) -> bytes:
        return json.dumps(self._out(value)).encode()

    def decode(self, data: bytes) -> Any:
        return self._into(json.loads(data))

    def _out(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return {"t": [self._out(part) for part in value]}
        if isinstance(value, Decimal):
            return {"d": str(value)}
        return value

    def _into(self, value: Any) -> Any:
        if isinstance(value, dict):
            [(kind, held)] = value.items()
            return tuple(map(self._into, held)) if kind == "t" else Decimal(held)
        return value


@pytest.fixture
def exact() -> Iterator[ExactSerializer]:
    serializer = ExactSerializer()
    yield serializer
    registry._by_code.pop(serializer.code, None)
    registry._by_name.pop(serializer.name, None)


async def test_the_order_of_mappings_is_kept_on_request(scene: Scene) -> None:
    value = {"z": 1, "a": {"y": [{"c": 1, "b": 2}], "x": b"\0"}, "m": None}
    async with scene.open(serializer="ordered") as db:
        made = await db.entries.set("a", value)
        found = await db.entries.require("a")
        assert json.dumps(found.value["a"]["y"]) == json.dumps(value["a"]["y"])  # type: ignore[index]
        assert list(found.value) == ["z", "a", "m"]
        assert list(found.value["a"]) == ["y", "x"]
        # Equal values have one digest, in whatever order.
        assert made.metadata.data_hash == holdfast.digest(value).hex
        again = await db.entries.set("a", dict(reversed(value.items())), if_changed=True)
        assert again.version == 1
        await db.entries.set("big", {f"{number}": "x" * 100 for number in range(5000, 0, -1)})
        big = await db.entries.require("big")
        assert next(iter(big.value)) == "5000"
        items = db.collection("things")
        await items.set("k", value)
        assert list(await items.require("k")) == ["z", "a", "m"]
        other = scene.handle()
        async with other:
            assert list((await other.entries.require("a")).value) == ["z", "a", "m"]
            await other.entries.set("a", value)
            assert list((await other.entries.require("a")).value) == ["a", "m", "z"]


async def test_a_serializer_of_ones_own_reaches_open(scene: Scene, exact: ExactSerializer) -> None:
    value = (1, Decimal("1.10"), ("a", Decimal(2)))
    async with scene.open(serializer=exact) as db:
        await db.entries.set("a", value)
        found = await db.entries.require("a")
        assert found.value == value
        assert type(found.value[2]) is tuple
        await db.entries.set("a", (2,))
        assert [past.value async for past in db.entries.history("a")] == [value]
        assert (await db.entries.set("a", (2,), if_changed=True)).version == 2
        # What MessagePack holds has the digest that it has everywhere.
        plain = await db.entries.set("b", "text")
        assert plain.metadata.data_hash == holdfast.digest("text").hex
        # Every handle of the process reads it.
        async with scene.handle() as other:
            assert (await other.entries.require("a")).value == (2,)
            assert await listed(other.entries.items())
        assert await db.check() == []


async def test_a_serializer_that_takes_anothers_place_is_refused(exact: ExactSerializer) -> None:
    async with holdfast.open("memory://", serializer=exact):
        pass

    class Other(ExactSerializer):
        name = "other"

    with pytest.raises(ConfigInvalid, match="its own name and code"):
        holdfast.open("memory://", serializer=Other())
    odd: Any
    for odd in ("yaml", 5, None):
        with pytest.raises(ConfigInvalid, match="msgpack, json, ordered"):
            holdfast.open("memory://", serializer=odd)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ((1, 2), "a list"),
        (Point(1, 2), "_asdict()"),
        (OrderedDict(a=1), "serializer='ordered'"),
        (Decimal("1.1"), "str(value)"),
        (UUID(int=1), "str(value)"),
        (date(2026, 1, 1), "isoformat()"),
        (BoxSize.BIG, "value.value"),
        (Colour.RED, "value.value"),
        (City("a"), "typed"),
        ({1, 2}, "a sorted list"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_what_cannot_be_kept_is_refused_with_what_converts_it(
    scene: Scene, value: Any, advice: str
) -> None:
    async with scene.open() as db:
        for kept in (value, {"deep": [value]}):
            with pytest.raises(SerializationFailed) as caught:
                await db.entries.set("a", kept)
            assert advice in str(caught.value)
        assert await db.entries.count() == 0
