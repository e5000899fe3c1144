"""What is odd, huge or too late: a specific error or a defined result, never a half-done write."""

import time
from typing import Any

import pytest

from holdfast.contract.errors import (
    ConfigInvalid,
    InvalidInput,
    InvalidName,
    InvalidQuery,
    InvalidValue,
    PatternInvalid,
    SerializationFailed,
    StoreError,
)
from holdfast.documents import SerializationConfig
from holdfast.documents.query import F
from tests.store.scene import Scene, listed


async def test_an_index_that_is_dropped_under_a_running_query(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({f"k{number:04}": {"n": number} for number in range(500)})
        await things.create_index("by_n", "n")
        walk = things.query(F.n >= 100, order_by="n", hint="by_n")
        first = await anext(walk)
        await things.drop_index("by_n")
        rest = await listed(walk)
        assert [first.value["n"], *(one.value["n"] for one in rest)] == list(range(100, 500))
        # The next one does without.
        assert (await things.explain(F.n >= 100))["plan"]["input"]["stage"] == "collection_scan"


async def test_a_hundred_thousand_values_in_one_condition(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({f"k{number}": {"n": number} for number in range(50)})
        wanted = F.n.in_(list(range(0, 1_000_000, 10)))
        assert await things.count(wanted) == 5
        await things.create_index("by_n", "n")
        assert await things.count(wanted) == 5
        async with things.live(wanted) as live:
            assert len(live) == 5
            await things.set("new", {"n": 100})
            assert (await anext(live)).key == "new"


async def test_a_collection_named_like_a_namespace_of_entries_is_another_place(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        await db.entries.set("users/active:1", {"name": "entry"})
        for name in ("users", "users/active", "users:#", "+", "#", "a b", "ü"):
            users = db.collection(name)
            seen: list[Any] = []
            with users.subscribe("*", seen.append):
                await users.set("1", {"name": "document"})
            assert await users.get("1") == {"name": "document"}
            assert [one.keyspace for one in seen] == [name]
            assert await users.count() == 1
        entry = await db.entries.require("users/active:1")
        assert entry.value == {"name": "entry"}


async def test_an_expression_that_backtracks_elsewhere_ends_here(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", {"text": "a" * 50_000})
        began = time.monotonic()
        assert await things.count(F.text.regex("(a+)+$b")) == 0
        assert time.monotonic() - began < 5
        for broken in ("(", "a{5,2}", "(?<=x)y", r"(a)\1"):
            with pytest.raises(PatternInvalid):
                await things.count(F.text.regex(broken))
            with pytest.raises(PatternInvalid):
                things.live(F.text.regex(broken))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"n": float("nan")}, StoreError),
        ({"n": float("inf")}, StoreError),
        ({"n": 2**64}, StoreError),
        ({"n": {1, 2}}, SerializationFailed),
        ({"n": object()}, SerializationFailed),
        ({5: "n"}, StoreError),
        ({"n": "\ud800"}, StoreError),
    ],
)
async def test_values_that_no_document_holds(
    scene: Scene, value: Any, error: type[StoreError]
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("by_n", "n")
        head = await db.head()
        with pytest.raises(error):
            await things.set("k", value)
        with pytest.raises(error):
            await things.set_many({"good": {"n": 1}, "k": value})
        result_error: StoreError | None = None
        try:
            result = await things.batch([("set", "good", {"n": 1}), ("set", "k", value)])
            result_error = result.errors[0].error
        except StoreError as refused:
            result_error = refused
        assert isinstance(result_error, StoreError)
        assert await db.head() == head
        assert await things.size() == 0


async def test_numbers_at_the_edge_of_floats_are_told_apart(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({"a": {"n": 2**53}, "b": {"n": 2**53 + 1}, "c": {"n": None}, "d": {}})
        for indexed in (False, True):
            if indexed:
                await things.create_index("by_n", "n")
            assert await things.find_many(F.n == 2**53 + 1) == [{"n": 2**53 + 1}]
            assert await things.find_many(F.n > 2**53) == [{"n": 2**53 + 1}]
            assert await things.count(n=None) == 2
            assert await things.count(F.n.exists()) == 3


async def test_documents_a_thousand_deep_are_refused_whole(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        deep: Any = 1
        for _ in range(1_000):
            deep = {"n": deep}
        with pytest.raises(StoreError):
            await things.set("k", deep)
        assert not await things.has("k")
        with pytest.raises(InvalidQuery):
            await things.count(F.n == deep)
        path = ".".join(["n"] * 1_000)
        with pytest.raises(InvalidQuery):
            await things.find_many(order_by=path)
        with pytest.raises((InvalidQuery, InvalidInput)):
            await things.create_index("deep", path)


async def test_an_index_over_objects_orders_them(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many({"a": {"n": {"x": 2}}, "b": {"n": {"x": 1}}, "c": {"n": 5}})
        await things.create_index("by_n", "n")
        assert await things.find_many(F.n == {"x": 1}) == [{"n": {"x": 1}}]
        found = await things.find_many(order_by="n", hint="by_n")
        assert [one["n"] for one in found] == [5, {"x": 1}, {"x": 2}]
        with pytest.raises((InvalidValue, InvalidInput)):
            await things.create_index("place", "n", kind="geo")


@pytest.mark.parametrize(
    "options",
    [
        {"name": "\ud800"}, {"kind": "text", "weights": 5}, {"kind": "text", "weights": ["a"]},
        {"kind": "text", "weights": [10**400]}, {"kind": "text", "weights": "5"},
        {"kind": "text", "language": []}, {"unique": "no"}, {"unique": []}, {"sparse": 2},
        {"progress": 5}, {"kind": "vector", "dimensions": 2, "metric": []},
        {"kind": "vector", "dimensions": 2, "metric": ""},
    ],
    ids=lambda options: ascii(options)[:60],
)  # fmt: skip
async def test_indexes_that_cannot_be_are_named_and_not_begun(
    scene: Scene, options: dict[str, Any]
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("a", {"n": "x"})
        head = await db.head()
        with pytest.raises((InvalidInput, InvalidName)):
            await things.create_index(**{"name": "index", "fields": "n"} | options)
        assert await things.list_indexes() == []
        assert await db.head() == head


async def test_searches_that_cannot_be_are_named(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("words", "text", kind="text")
        await things.set("a", {"text": "hello"})
        odd: Any
        for odd in (5, None, b"hello", ["hello"]):
            with pytest.raises(InvalidQuery, match="as a str"):
                await things.search(odd)
        odd = None
        # It gave no result at all.
        for call in (
            lambda: things.search("hello", limit=odd), lambda: things.nearest([1], limit=odd),
            lambda: things.search("hello", limit=odd, vector=[1]),
        ):  # fmt: skip
            with pytest.raises(InvalidQuery, match="limit"):
                await call()  # type: ignore[no-untyped-call]


class Surrogates:
    """Gives text that no bytes can be made of."""

    def serialize(self, value: Any) -> str:
        return "\ud800"

    def deserialize(self, data: bytes) -> Any:
        return {}


SURROGATES = Surrogates()


@pytest.mark.parametrize(
    "options",
    [{"format": []}, {"compression": []}, {"compression": 5}, {"code": 9.0}, {"code": "9"}],
    ids=repr,
)
async def test_serializations_that_cannot_be_are_named(
    scene: Scene, options: dict[str, Any]
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        if "code" in options:
            options = options | {"serializer": SURROGATES, "name": "own"}
        with pytest.raises(ConfigInvalid):
            things.stored_as(SerializationConfig(**options))
        # Registered for good, so it is the same one each time.
        gives = SerializationConfig(serializer=SURROGATES, name="surrogates", code=13)
        with pytest.raises(SerializationFailed, match="surrogate"):
            await things.stored_as(gives).set("a", {"n": 1})
        assert await things.get("a") is None


async def test_an_event_named_by_text_of_a_class_of_its_own_is_that_event(scene: Scene) -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    async with scene.open() as db:
        things = db.collection("things")
        told: list[str] = []
        things.on(Text("after:set"), lambda key, _: told.append(key))
        await things.set("a", {"n": 1})
        assert told == ["a"]
