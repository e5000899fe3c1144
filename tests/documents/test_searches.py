"""Searches of a collection: nearest vectors, vectors with words, and extracts that show matches."""

import asyncio
import math
import random
from typing import Any

import pytest

from holdfast.contract.errors import (
    IndexNotFound,
    InvalidInput,
    InvalidQuery,
    InvalidValue,
)
from holdfast.documents.aggregate import lookup
from holdfast.documents.planner import vectors as vectors_module
from holdfast.documents.query import F
from holdfast.documents.vector.vectors import VectorSpace
from tests.store.scene import Scene

DIMENSIONS = 8


def vector(chance: random.Random) -> list[float]:
    return [chance.uniform(-1, 1) for _ in range(DIMENSIONS)]


def measured(documents: dict[str, Any], metric: str, wanted: list[float], limit: int) -> list[str]:
    """The keys of the nearest by plain arithmetic."""

    def far(other: list[float]) -> float:
        product = sum(one * two for one, two in zip(wanted, other, strict=True))
        if metric == "dot":
            return -product
        if metric == "l2":
            return sum((one - two) ** 2 for one, two in zip(wanted, other, strict=True))
        return 1 - product / math.hypot(*wanted) / math.hypot(*other)

    found = [(far(one["at"]), key) for key, one in documents.items() if one.get("at")]
    return [key for _, key in sorted(found)[:limit]]


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_the_nearest_are_those_that_arithmetic_finds(scene: Scene, metric: str) -> None:
    chance = random.Random(5)
    async with scene.open() as db:
        things = db.collection("things")
        documents: dict[str, Any] = {
            f"k{number:03}": {"at": vector(chance), "kind": number % 3} for number in range(150)
        }
        documents["none"] = {"kind": 1}
        await things.set_many(dict(list(documents.items())[:100]))
        await things.create_index(
            "by_at", "at", kind="vector", dimensions=DIMENSIONS, metric=metric
        )
        await things.set_many(dict(list(documents.items())[100:]))
        for _ in range(5):
            key = f"k{chance.randrange(150):03}"
            documents[key] = {"at": vector(chance), "kind": 0}
            await things.set(key, documents[key])
            gone = chance.choice([one for one in documents if one != "none"])
            del documents[gone]
            await things.delete(gone)
            wanted = vector(chance)
            found = await things.nearest(wanted, limit=7)
            assert [one.key for one in found] == measured(documents, metric, wanted, 7)
            assert [one.distance for one in found] == sorted(one.distance or 0 for one in found)
            some = {key: one for key, one in documents.items() if one["kind"] == 1}
            found = await things.nearest(wanted, F.kind == 1, limit=5, select=["kind"])
            assert [one.key for one in found] == measured(some, metric, wanted, 5)
            assert found[0].value == {"kind": 1}
        assert len(await things.nearest(vector(chance), limit=1000)) == len(documents) - 1
        assert await things.nearest(vector(chance), limit=0) == []


async def test_a_filter_that_many_meet_is_the_same_as_one_that_few_meet(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(6)
    async with scene.open() as db:
        things = db.collection("things")
        documents = {f"k{n:03}": {"at": vector(chance), "kind": n % 2} for n in range(60)}
        await things.set_many(documents)
        await things.create_index("by_at", "at", kind="vector", dimensions=DIMENSIONS)
        wanted = vector(chance)
        few = await things.nearest(wanted, kind=1, limit=5)
        monkeypatch.setattr(vectors_module, "READ_VECTORS_MAX", 2)
        many = await things.nearest(wanted, kind=1, limit=5)
        assert [one.key for one in few] == [one.key for one in many]


async def test_the_graph_follows_what_is_written_and_a_transaction_sees_its_own(
    scene: Scene,
) -> None:
    chance = random.Random(7)
    async with scene.open() as db, scene.handle() as other:
        things = db.collection("things")
        documents: dict[str, Any] = {f"k{n:03}": {"at": vector(chance)} for n in range(300)}
        await things.set_many(documents)
        await things.create_index("by_at", "at", kind="vector", dimensions=DIMENSIONS)
        hits = asked = 0
        for step in range(12):
            key = f"k{chance.randrange(300):03}"
            if step % 3 == 2:
                await other.collection("things").delete(key)
                documents.pop(key, None)
            else:
                documents[key] = {"at": vector(chance)}
                await other.collection("things").set(key, documents[key])
            wanted = documents[key]["at"] if key in documents else vector(chance)
            found = [one.key for one in await things.nearest(wanted, limit=5, approximate=True)]
            right = measured(documents, "cosine", wanted, 5)
            hits += len(set(found) & set(right))
            asked += len(right)
            if key in documents:
                assert found[0] == key  # What was written just now is there.
            else:
                assert key not in found
        assert hits / asked >= 0.9
        # The feed was given up meanwhile: the graph is made anew.
        await things.set("far", {"at": [1.0] + [0.0] * (DIMENSIONS - 1)})
        await db.retention.keep_feed(changes_max=1)
        await things.set("farther", {"at": [0.0] * (DIMENSIONS - 1) + [1.0]})
        await db.compact()
        [found_one] = await things.nearest([1.0] + [0.0] * 7, limit=1, approximate=True)
        assert found_one.key == "far"
        async with db.transaction() as tx:
            inside = tx.collection("things")
            await inside.set("mine", {"at": [-1.0] + [0.0] * 7})
            [mine] = await inside.nearest([-1.0] + [0.0] * 7, limit=1, approximate=True)
            assert mine.key == "mine"
            await tx.rollback()


async def test_words_and_vectors_are_ranked_together(scene: Scene) -> None:
    async with scene.open() as db:
        notes = db.collection("notes")
        await notes.create_index("words", "text", kind="text", language="english")
        await notes.create_index("by_at", "at", kind="vector", dimensions=2, metric="l2")
        await notes.set_many(
            {
                "both": {"text": "red fox", "at": [1, 0]},
                "words": {"text": "red red fox fox", "at": [9, 9]},
                "near": {"text": "grey wolf", "at": [1, 0.01]},
                "neither": {"text": "blue whale", "at": [50, 50]},
            }
        )
        found = await notes.search("fox", vector=[1, 0], limit=4)
        assert found[0].key == "both"
        assert {one.key for one in found} == {"both", "words", "near", "neither"}
        # By its place in each ranking: 60 is added to every rank.
        ranks = {"both": 2, "words": 1}
        assert found[0].score == pytest.approx(1 / (60 + ranks["both"]) + 1 / 61)
        few = await notes.search("fox", F.text.regex("wolf|red"), vector=[1, 0], limit=2)
        assert [one.key for one in few] == ["both", "words"]


async def test_extracts_show_what_was_found(scene: Scene) -> None:
    async with scene.open() as db:
        notes = db.collection("notes")
        await notes.create_index("words", ("title", "parts"), kind="text", language="english")
        long = "Nothing to see here, and more of it. " * 20
        await notes.set(
            "a", {"title": "Running foxes", "parts": ["wolves", f"{long}the fox ran{long}"]}
        )
        [found] = await notes.search("fox", highlight=["title", F.parts, "absent"])
        assert found.highlights is not None
        assert found.highlights["title"] == "Running <b>foxes</b>"
        assert "the <b>fox</b> ran" in found.highlights["parts"]
        assert len(found.highlights["parts"]) < 200
        assert found.highlights.keys() == {"title", "parts"}
        [plain] = await notes.search("fox")
        assert plain.highlights is None


async def test_what_cannot_be_searched_is_refused(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        with pytest.raises(IndexNotFound, match="kind='vector'"):
            await things.nearest([1.0])
        await things.set("bad", {"at": [1.0, 2.0]})
        for wrong in ({}, {"dimensions": 0}, {"dimensions": 3, "metric": "near"}):
            with pytest.raises(InvalidInput):
                await things.create_index("v", "at", kind="vector", **wrong)
        with pytest.raises(InvalidInput, match="kind vector"):
            await things.create_index("v", "at", dimensions=3)
        with pytest.raises(InvalidInput, match="one field"):
            await things.create_index("v", ("at", "b"), kind="vector", dimensions=3)
        with pytest.raises(InvalidValue):
            await things.create_index("v", "at", kind="vector", dimensions=3)
        [failed] = await things.list_indexes()
        assert failed.state == "failed"
        await things.drop_index("v")
        await things.delete("bad")
        await things.create_index("v", "at", kind="vector", dimensions=3)
        with pytest.raises(InvalidValue, match="3 dimensions"):
            await things.set("bad", {"at": [1.0, 2.0]})
        assert not await things.has("bad")
        with pytest.raises(InvalidQuery, match="3 dimensions"):
            await things.nearest([1.0])
        await things.create_index("w", "other", kind="vector", dimensions=3)
        with pytest.raises(InvalidQuery, match="Name"):
            await things.nearest([1.0, 0.0, 0.0])
        with pytest.raises(IndexNotFound):
            await things.nearest([1.0, 0.0, 0.0], index="x")
        assert VectorSpace(3).dimensions == 3


async def test_a_pipeline_and_its_lookups_read_one_moment(scene: Scene) -> None:
    async with scene.open() as db:
        orders, items = db.collection("orders"), db.collection("items")

        async def write(number: int) -> None:
            async with db.transaction() as tx:
                await tx.collection("orders").set("o", {"item": "i", "n": number})
                await tx.collection("items").set("i", {"id": "i", "n": number})

        await write(0)
        stop = False

        async def writes() -> None:
            number = 0
            while not stop:
                number += 1
                await write(number)
                await asyncio.sleep(0)

        writing = asyncio.create_task(writes())
        for _ in range(50):
            pipeline = [lookup("items", local="item", foreign="id", name="found")]
            [row] = [one async for one in orders.aggregate(pipeline)]
            assert row["found"][0]["n"] == row["n"]
            await asyncio.sleep(0)
        stop = True
        await writing
        assert await items.count() == 1
