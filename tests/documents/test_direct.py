"""Queries that a program asks again, answered by one lookup, give what the reference says."""

from __future__ import annotations

import random
from typing import Any

import pytest

from holdfast.documents.planner.direct import Direct, spelled
from holdfast.documents.planner.direct_places import DirectPlaces
from holdfast.documents.query import F, Query, Row, run_reference
from tests.store.scene import Scene

#: Few values, so that ties and ranges meet; some are cut in an index, one is of another type.
VALUES = [None, True, 0, 1, 1.0, 2, 2.5, "a", "b", "x" * 150 + "y", "x" * 150 + "z"]
BIG = "big" * 100_000


#: Some of the same place, at the edges of the earth, and none at all.
PLACES: list[Any] = [
    {"latitude": 0.0, "longitude": 180.0}, {"latitude": 0.0, "longitude": -180.0},
    {"latitude": 90.0, "longitude": 12.0}, {"latitude": -90, "longitude": 0},
    {"lat": 1, "lon": 1}, {"lat": 1, "lon": 1}, {"lat": 1.0, "lng": 1.5},
    {"type": "Point", "coordinates": [179.9, 0.5]}, None,
]  # fmt: skip


class Answered:
    """How often a lookup answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.documents = self.counts = self.places = 0
        places = DirectPlaces.documents

        def of_places(direct: DirectPlaces, *arguments: Any) -> list[Any] | None:
            found = places(direct, *arguments)
            self.places += found is not None
            return found

        monkeypatch.setattr(DirectPlaces, "documents", of_places)
        documents, count = Direct.documents, Direct.count

        def of_documents(direct: Direct, *arguments: Any) -> list[Any] | None:
            found = documents(direct, *arguments)
            self.documents += found is not None
            return found

        def of_count(direct: Direct, *arguments: Any) -> int | None:
            counted = count(direct, *arguments)
            self.counts += counted is not None
            return counted

        monkeypatch.setattr(Direct, "documents", of_documents)
        monkeypatch.setattr(Direct, "count", of_count)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answered:
    return Answered(monkeypatch)


def asked(chance: random.Random) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """Conditions, names and values, and the rest of a call."""
    wanted: list[Any] = [one for one in VALUES if one is not None]
    equal = {chance.choice("abc"): chance.choice(wanted)} if chance.random() < 0.6 else {}
    low, high = (chance.choice([0, 1, 2, "a", "x" * 150]) for _ in range(2))
    field = F[chance.choice("abc")]
    conditions: tuple[Any, ...] = chance.choice(
        [(), (field >= low,), (field > low, field < high), (field <= high,), (field == low,)]
    )
    if not equal and not conditions:
        equal = {"a": 1}
    rest = {
        "order_by": chance.choice([(), "a", "-a", F.b, "c", -F.c, ["b", "a"]]),
        "limit": chance.choice([None, None, 1, 3, 200]),
        "offset": chance.choice([0, 0, 0, 2]),
    }
    return conditions, equal, rest


async def agree(collection: Any, rows: dict[str, Any], chance: random.Random, times: int) -> None:
    stored: list[Row] = sorted(rows.items())
    for _ in range(times):
        conditions, equal, rest = asked(chance)
        whole = Query.of(*conditions, **equal)
        one = Query.of(*conditions, **rest, **equal)
        expected = [document for _, document in run_reference(one, stored)]
        assert await collection.find_many(*conditions, **rest, **equal) == expected, one
        first = await collection.find_one(
            *conditions, order_by=rest["order_by"], offset=rest["offset"], **equal
        )
        if rest["limit"] is not None:
            assert first == (expected[0] if expected else None)
        assert await collection.count(*conditions, **equal) == len(run_reference(whole, stored))


@pytest.mark.row("I-040")
async def test_a_field_with_the_name_of_an_operator_is_no_operator(shared_scene: Scene) -> None:
    async with shared_scene.open() as db:
        collection = db.collection("things")
        await collection.set("one", {"a": 5, "eq": 1})
        await collection.set("other", {"a": 1, "eq": 5})
        for path in ("a", "eq"):
            await collection.create_index(path, path)
        for _ in range(2):
            assert await collection.find_many(F.a == 5) == [{"a": 5, "eq": 1}]
            assert await collection.find_many(order_by=F.a, eq=5) == [{"a": 1, "eq": 5}]


@pytest.mark.row("I-040", "I-005")
@pytest.mark.parametrize("keys", ["of one length", "of several"])
async def test_what_is_asked_again_agrees_with_the_reference(
    shared_scene: Scene, answered: Answered, keys: str
) -> None:
    chance = random.Random(11)
    rows: dict[str, Any] = {}
    for turn in range(5):
        async with shared_scene.open() as db:
            collection = db.collection("things", history="none")
            if not turn:
                await collection.set("first", {})
                await collection.delete("first")
                await collection.create_index("a", "a")
                await collection.create_index("b", ["b", "a"])
                await collection.create_index("c", "-c")
            for at in range(30):
                key = f"k{chance.randrange(90):02}"
                if keys == "of several":
                    key = "k" * (at % 3) + key
                document: dict[str, Any] = {
                    name: chance.choice(VALUES) for name in "abc" if chance.random() < 0.9
                }
                if turn == 3 and at == 7:
                    document["text"] = BIG
                if turn == 4:
                    document["a"] = [1, 2]
                rows[key] = document
                await collection.set(key, document)
            for key in chance.sample(sorted(rows), 6):
                await collection.delete(key)
                del rows[key]
            if turn == 2:
                await collection.set("short", {"a": 1, "b": 2}, ttl=5)
                await agree(collection, rows | {"short": {"a": 1, "b": 2}}, chance, 40)
                shared_scene.clock.advance(10)
            await agree(collection, rows, chance, 40)
        async with shared_scene.open() as db:
            # What was written has reached the file: nothing lies over it.
            await agree(db.collection("things"), rows, chance, 60)
    assert answered.documents > 30
    assert answered.counts > 20


@pytest.mark.row("I-040", "I-005")
@pytest.mark.parametrize("fields", [["u"], ["a", "u"], ["u", "a"]])
async def test_a_unique_index_is_looked_up_in_one_read(
    shared_scene: Scene, answered: Answered, fields: list[str]
) -> None:
    chance = random.Random(13)
    rows: dict[str, Any] = {}
    for at in range(120):
        key = "k" * (at % 3) + f"k{at:03}"
        # Nulls stand many times in a unique index, and long values are cut there.
        value = chance.choice([at, at, f"name {at}", "x" * 150 + key, None])
        rows[key] = {"u": value, "a": chance.choice([1, "a", None]), "n": at}
        if at % 5 == 0:
            del rows[key]["u"]
    rows["k" * 9] = {"u": "big", "a": 1, "n": 120, "text": BIG}
    short = {"u": 5000, "a": 1, "n": 121}
    async with shared_scene.open() as db:
        things = db.collection("things", history="none")
        await things.set("first", {})
        await things.delete("first")
        await things.create_index("unique", fields, unique=True)
        await things.set_many(rows)
        await things.set("short", short, ttl=5)
    async with shared_scene.open() as db:
        things = db.collection("things", history="none")
        stored: list[Row] = sorted((rows | {"short": short}).items())
        values = [5000, *[one["u"] for one in rows.values() if one.get("u") is not None]]
        for turn in range(240):
            if turn == 120:
                # One runs out now; nobody has swept it yet.
                shared_scene.clock.advance(10)
                stored = sorted(rows.items())
            value = chance.choice(values)
            conditions: list[Any] = [chance.choice([F.u == value, F.u == value, F.u >= value])]
            if fields[0] == "a" or chance.random() < 0.4:
                conditions.append(chance.choice([F.a == 1, F.a == "a"]))
            order = chance.choice([(), (), "u", "-u", "n"])
            wanted = Query.of(*conditions, order_by=order)
            expected = [document for _, document in run_reference(wanted, stored)]
            first = expected[0] if expected else None
            assert await things.find_one(*conditions, order_by=order) == first, wanted
            assert await things.find_many(*conditions, order_by=order) == expected, wanted
            assert await things.count(*conditions) == len(expected)
    assert answered.documents > 100
    assert answered.counts > 10


@pytest.mark.row("I-040", "I-005")
async def test_boxes_and_the_nearest_agree_with_the_reference(
    shared_scene: Scene, answered: Answered
) -> None:
    chance = random.Random(8)
    rows: dict[str, Any] = {}
    for at in range(120):
        place = chance.choice(PLACES)
        if chance.random() < 0.7:
            place = {"lat": chance.uniform(-90, 90), "lon": chance.uniform(-180, 180)}
        rows["k" * (at % 3) + f"k{at:03}"] = {"at": place, "n": at}
    async with shared_scene.open() as db:
        things = db.collection("things", history="none")
        await things.set("first", {})
        await things.delete("first")
        await things.create_index("at", "at", kind="geo")
        await things.set_many(rows)
        await things.set("short", {"at": {"lat": 1, "lon": 1}}, ttl=5)
    shared_scene.clock.advance(10)
    async with shared_scene.open() as db:
        things = db.collection("things", history="none")
        stored: list[Row] = sorted(rows.items())
        for _ in range(120):
            west, east = (chance.choice([-180, 180, 1, chance.uniform(-180, 180)]) for _ in "we")
            south, north = sorted(chance.choice([-90, 1, chance.uniform(-90, 90)]) for _ in "sn")
            box = F.at.within(west=west, south=south, east=east, north=north)
            rest: dict[str, Any] = {
                "limit": chance.choice([None, 1, 3]), "offset": chance.choice([0, 2])
            }  # fmt: skip
            expected = [one for _, one in run_reference(Query.of(box, **rest), stored)]
            assert await things.find_many(box, **rest) == expected
            assert await things.count(box) == len(run_reference(Query.of(box), stored))
            near = F.at.near(south, east)
            rest |= {"order_by": F.at.distance(south, east), "limit": chance.choice([1, 5, 200])}
            expected = [one for _, one in run_reference(Query.of(near, **rest), stored)]
            assert await things.find_many(near, **rest) == expected
        assert answered.places > 100


@pytest.mark.row("I-040")
async def test_an_index_that_another_handle_drops_is_not_walked_any_more(
    shared_scene: Scene, answered: Answered
) -> None:
    async with shared_scene.open() as db:
        await db.collection("things").set_many({f"k{at}": {"n": at % 3} for at in range(9)})
        await db.collection("things").create_index("n", "n")
    async with shared_scene.open() as db, shared_scene.open() as other:
        things, same = db.collection("things"), other.collection("things")
        for at in (0, 1, 2):
            assert len(await things.find_many(n=at)) == 3
            assert await things.count(n=at) == 3
        assert (answered.documents, answered.counts) == (2, 3)
        await same.drop_index("n")
        assert len(await things.find_many(n=1)) == 3
        assert await things.count(n=1) == 3
        assert (answered.documents, answered.counts) == (2, 3)
        await same.create_index("n", "n", unique=False)
        await same.set("k9", {"n": 1})
        for _ in range(2):
            assert len(await things.find_many(n=1)) == 4
        await same.drop()
        assert await things.find_many(n=1) == []


@pytest.mark.row("I-040")
async def test_inside_a_transaction_its_own_writes_are_found(shared_scene: Scene) -> None:
    async with shared_scene.open() as db:
        things = db.collection("things")
        await things.create_index("n", "n")
        await things.set("a", {"n": 1})
        assert await things.find_many(n=1) == await things.find_many(n=1) == [{"n": 1}]
        async with await things.begin_transaction() as inside:
            await inside.set("b", {"n": 1})
            for _ in range(2):
                assert len(await inside.find_many(n=1)) == 2
                assert await inside.count(n=1) == 2
                assert len(await things.find_many(n=1)) == 1


def test_what_is_spelled_alike_is_answered_alike_and_nothing_else() -> None:
    def shape(*conditions: Any, order: Any = (), limit: Any = None, offset: Any = 0, **equal: Any):  # type: ignore[no-untyped-def]
        found = spelled(conditions, order, limit, offset, equal)
        return None if found is None else found[0]

    assert shape(a=1) == shape(a=2.5) != shape(a="x")
    assert shape(a=True) not in (shape(a=1), shape(a="x"))
    assert shape(a=1, limit=3) == shape(a=1, limit=4) != shape(a=1)
    assert shape(F.a >= 1) == shape(F.a >= 2) != shape(F.a > 1)
    assert shape(F.a == 1, order="a") != shape(F.a == 1, order="-a")
    assert shape(a=1, order=F.a) not in (shape(a=1), shape(a=1, order="a"))
    for refused in (
        shape(a=float("nan")), shape(a=float("inf")), shape(a=None), shape(a=[1]),
        shape(~(F.a == 1)),
        shape(a=1, limit=0), shape(a=1, limit=True), shape(a=1, limit=-1), shape(a=1, offset=-1),
        shape(a=1, offset=True), shape("a == 1"), shape(a=1, order=["a"]), shape(a=1, limit="3"),
        shape(a=1, order=F), shape(a=1, order=("a",)),
    ):  # fmt: skip
        assert refused is None
