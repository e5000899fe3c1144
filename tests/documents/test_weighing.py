"""The planner weighs ways by what this query's values cost, and says what it thought."""

import hashlib
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.documents.planner import statistics
from holdfast.documents.planner.plan import plan_query
from holdfast.documents.planner.prepared import Prepared, shape_of
from holdfast.documents.query import F, Query
from holdfast.layers.offload import OffloadLayer
from tests.documents.test_indexes import stage_of
from tests.store.scene import Scene

PEOPLE = 1_800
#: One in a hundred is rare.
DOCUMENTS: dict[str, Any] = {
    f"k{at:05}": {"kind": "rare" if at % 100 == 0 else "common", "age": at % 600, "n": at}
    for at in range(PEOPLE)
}


async def peopled(db: Any) -> Any:
    people = db.collection("people", history="none")
    await people.set_many(DOCUMENTS)
    for name in ("kind", "age", "n"):
        await people.create_index(name, name)
    return people


def chosen(told: dict[str, Any]) -> dict[str, Any]:
    scan = stage_of(told, "index_scan")
    assert scan is not None
    return scan


@pytest.mark.row("I-042", "I-040")
async def test_the_way_depends_on_the_value_and_the_estimate_is_told(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        rare = await people.explain(F.age >= 100, kind="rare")
        assert chosen(rare)["index"] == "kind"
        assert chosen(rare)["estimate"] == {"keys": PEOPLE // 100, "counted": True}
        assert rare["examined"]["keys"] == PEOPLE // 100
        [other] = rare["rejected"]
        assert other["index"] == "age"
        assert not other["estimate"]["counted"]
        truth = sum(one["age"] >= 100 for one in DOCUMENTS.values())
        assert truth / 2 < other["estimate"]["keys"] < truth * 2

        common = await people.explain(F.age >= 590, kind="common")
        assert chosen(common)["index"] == "age"
        assert common["examined"]["keys"] == PEOPLE // 60 < PEOPLE // 2
        # No plan is kept for the next values: what is right for one is wrong for another.
        for kind, least in (("rare", 100), ("common", 590), ("rare", 100)):
            found = await people.find_many(F.age >= least, kind=kind)
            assert found == await people.find_many(F.age >= least, kind=kind, hint="")


@pytest.mark.row("I-043")
async def test_a_walk_in_order_is_weighed_against_a_sort(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)
        # Nearly all match: the first ten by age are found at once. Of few, a sort is cheaper.
        common = await people.explain(kind="common", order_by="age", limit=10)
        rare = await people.explain(kind="rare", order_by="age", limit=10)
        assert (chosen(common)["index"], chosen(rare)["index"]) == ("age", "kind")
        assert common["examined"]["keys"] < 100
        assert rare["examined"]["keys"] == PEOPLE // 100
        for kind in ("common", "rare"):
            found = await people.find_many(kind=kind, order_by="age", limit=10)
            assert found == await people.find_many(kind=kind, order_by="age", limit=10, hint="")


@pytest.mark.row("I-040")
async def test_a_sample_grows_old(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)

        async def thought() -> int:
            told = await people.explain(kind="common", hint="kind")
            keys: int = chosen(told)["estimate"]["keys"]
            return keys

        assert PEOPLE / 2 < await thought() < PEOPLE * 1.5
        for at in range(0, PEOPLE, 1000):
            keys = [f"k{one:05}" for one in range(at, at + 1000) if one % 4]
            await people.delete_many(keys)
        assert await thought() > PEOPLE / 2
        scene.clock.advance(statistics.SAMPLE_S + 1)
        assert await thought() < PEOPLE / 2


async def test_a_transaction_does_not_conflict_by_an_estimate(scene: Scene) -> None:
    async with scene.open() as db:
        people = await peopled(db)

        async def work(tx: Any) -> int:
            inside = tx.collection("people")
            found = await inside.find_many(F.age >= 598, kind="rare")
            # A document that no bound of the query holds, written by somebody else meanwhile.
            await people.set("z", {"kind": "common", "age": 5, "n": 0})
            await inside.set("found", {"count": len(found)})
            return len(found)

        async with db.transaction() as tx:
            await work(tx)
        assert await people.get("found") == {"count": 0}


OPERATORS: tuple[Any, ...] = (
    lambda field, value: field == value,
    lambda field, value: field >= value,
    lambda field, value: field < value,
)


@pytest.mark.row("I-040")
async def test_a_plan_bound_to_other_values_is_the_plan_of_these(scene: Scene) -> None:
    chance = random.Random(5)
    values: list[Any] = [0, 1, 2.5, "a", "b", "x" * 300, True, "", -7, 2**60]
    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.set_many(
            {f"k{at}": {name: chance.choice(values) for name in "abc"} for at in range(60)}
        )
        await things.create_index("ab", ["a", "-b"])
        await things.create_index("c", "c")
        storage: Any = await things._find()
        catalogue = await storage.catalogue()
        bound = 0
        for _ in range(600):
            names = chance.choice(["a", "ab", "abb", "b", "c"])
            makers = [chance.choice(OPERATORS) for _ in names]
            order = chance.choice([(), "b", "-b", ["a", "-b"], "-a"])

            def made() -> Query:
                conditions = [
                    make(F[name], chance.choice(values))
                    for make, name in zip(makers, names, strict=True)  # noqa: B023 - called at once
                ]
                return Query.of(*conditions, order_by=order)  # noqa: B023

            one, other = made(), made()
            prepared = Prepared.of(plan_query(one, storage.number, catalogue))
            if prepared is None or shape_of(one) != shape_of(other):
                continue
            plan = prepared.bind(other)
            right = plan_query(other, storage.number, catalogue)
            if plan is None:
                continue
            bound += 1
            assert [way.spans for way in plan.ways] == [way.spans for way in right.ways]
            assert [way.index for way in plan.ways] == [way.index for way in right.ways]
            assert (plan.rest, plan.backwards, plan.ordered, plan.ties, plan.exact) == (
                right.rest, right.backwards, right.ordered, right.ties, right.exact,
            )  # fmt: skip
            found = await things.find_many(other)
            assert found == await things.find_many(other, hint="")
        assert bound > 50


@pytest.mark.parametrize(
    "key",
    [
        lambda at: f"k{at:05}",
        lambda at: hashlib.sha256(str(at).encode()).hexdigest(),
        lambda at: str(uuid.UUID(int=random.Random(at).getrandbits(128))),
        lambda at: "".join(random.Random(at).choices("abcdefghijklmnop", k=1 + at % 12)) + str(at),
        lambda at: "täglich/" + chr(0x4E00 + at),
    ],
)
async def test_a_sample_is_of_all_places(key: Callable[[int], str], scene: Scene) -> None:
    """Whatever keys are made of: also where most keys that could be are none."""
    async with scene.open() as db:
        things = db.collection("things", history="none")
        keys = sorted(map(key, range(4000)), key=str.encode)
        await things.set_many({one: at for at, one in enumerate(keys)})
        sample = sampled(await things._find())
        parts = [at * 10 // len(keys) for at in sample.documents]
        assert len(set(parts)) >= 8
        assert sample.size >= 1000


async def test_who_opens_a_collection_counts_before_it_estimates(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        people = await peopled(db)
        # A key unlike all others, behind which no place of the sample finds a document.
        await people.set("zoe", {"kind": "rare", "age": 0, "n": 0})
    async with kept_scene.open() as db:
        people = db.collection("people")
        sample = sampled(await people._find())
        assert sample.size == PEOPLE + 1
        assert len(sample.documents) >= 128
        told = await people.explain(kind="common", hint="kind")
        assert PEOPLE * 0.9 < chosen(told)["estimate"]["keys"] <= PEOPLE


async def test_a_sample_of_big_documents_has_fewer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        storage = await (await peopled(db))._find()
        whole = sampled(storage)
        storage.known.sample = None
        monkeypatch.setattr(statistics, "SAMPLE_BYTES_MAX", 4000)
        few = sampled(storage)
        assert few.size == whole.size
        # They are of all places, and there are about as many as have so many bytes.
        assert 16 <= len(few.documents) <= len(whole.documents) // 4
        assert max(one["n"] for one in few.documents) > PEOPLE // 2


async def test_reads_in_worker_threads_are_not_begun_and_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the layer offload nothing answers at once: a try would keep a worker for nothing."""
    broken: list[str] = []
    through = OffloadLayer.through

    async def watched(layer: OffloadLayer, verb: Any, call: Any) -> Any:
        try:
            return await through(layer, verb, call)
        except GeneratorExit:
            broken.append(verb)
            raise

    monkeypatch.setattr(OffloadLayer, "through", watched)
    async with holdfast.open(f"sqlite:///{tmp_path}/db?layers=offload") as db:
        people = await peopled(db)
        await people.create_index("text", "kind", kind="text")
        assert len(await people.find_many(F.age >= 590, kind="common")) == PEOPLE // 60
        assert len(await people.search("rare", limit=5)) == 5
        assert "estimate" not in chosen(await people.explain(F.age >= 590, kind="common"))
    assert broken == []


def sampled(storage: Any) -> statistics.Sample:
    sample = statistics.Statistics(storage, storage.engine).sample()
    assert sample is not None
    return sample
