"""Queries decode the fields they look at: what they give is what whole documents give."""

import random
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import NOT_NOW, NotNow
from holdfast.contract.errors import DeserializationFailed
from holdfast.contract.lookup import Look, Sifted
from holdfast.contract.record import Range
from holdfast.documents.aggregate import (
    add_fields,
    avg,
    count_,
    group_by,
    limit,
    match,
    project,
    push,
    sort,
    sum_,
)
from holdfast.documents.planner import scanning
from holdfast.documents.planner.lens import NOTHING, Lens, of_condition, of_stages
from holdfast.documents.query import F
from holdfast.store.snapshot import SnapshotEngine
from tests.store.scene import Scene, engine_of

#: Documents of every form: objects, values that are none, big ones, ones that run out.
BIG = "x" * 300_000


async def filled(scene: Scene, db: Any) -> tuple[Any, dict[str, Any]]:
    chance = random.Random(2)
    things = db.collection("things", history="none")
    rows: dict[str, Any] = {}
    for at in range(700):
        document: Any = {
            "kind": chance.choice("abc"),
            "n": chance.choice([None, at, float(at), "text", [at, 5], {"deep": at}]),
            "rest": {"of": ["it"] * 3, "at": at},
        }
        if at % 50 == 7:
            document = chance.choice([at, "text", [1, 2], None, [document]])
        rows[f"k{at:03}"] = document
    rows["big"] = {"kind": "a", "n": 3, "blob": BIG}
    await things.set_many(rows)
    await things.set("gone", {"kind": "a", "n": 1}, ttl=5)
    await things.set("stays", {"kind": "b", "n": 2}, ttl=500)
    rows["stays"] = {"kind": "b", "n": 2}
    await things.set("said", {"kind": "c", "n": 4}, modified_by="me", comment="why")
    rows["said"] = {"kind": "c", "n": 4}
    scene.clock.advance(10)
    return things, rows


@pytest.mark.row("I-035", "trap 35")
async def test_what_is_looked_at_is_all_that_is_needed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "FIRST_PAGE_ROWS", 5)
    sifted = 0
    sift = SnapshotEngine.sift

    def counted(self: SnapshotEngine, range: Range, look: Look) -> Sifted | NotNow:
        nonlocal sifted
        found = sift(self, range, look)
        sifted += found is not NOT_NOW
        return found

    monkeypatch.setattr(SnapshotEngine, "sift", counted)
    async with scene.open() as db:
        things, rows = await filled(scene, db)
        objects = {key: one for key, one in rows.items() if isinstance(one, dict)}
        found = await things.find_many(F.n >= 600, kind="a")
        assert found == [
            one
            for _, one in sorted(objects.items())
            if one["kind"] == "a"
            and any(
                type(part) in (int, float) and part >= 600
                for part in (one["n"] if isinstance(one["n"], list) else [one["n"]])
            )
        ]
        assert BIG in [one.get("blob") for one in await things.find_many(n=3, kind="a")]
        deep = [one async for one in things.query(F.rest.at == 77, select=["rest.at", "kind"])]
        assert [one.value for one in deep] == [{"rest": {"at": 77}, "kind": rows["k077"]["kind"]}]
        ordered = await things.find_many(kind="b", order_by="-rest.at", limit=3)
        best = sorted(
            (one for one in objects.values() if one["kind"] == "b" and "rest" in one),
            key=lambda one: -one["rest"]["at"],
        )
        assert ordered == best[:3]
        groups = await things.group_by(F.kind, where=F.kind.in_(["a", "c"]), n=count_())
        of_kind = [one["kind"] for one in objects.values()]
        assert {one["kind"]: one["n"] for one in groups} == {
            kind: of_kind.count(kind) for kind in "ac"
        }
        assert sum(one["n"] for one in await things.group_by(n=count_())) == len(rows)
        assert sifted > 0 or engine_of(db).capabilities.engine != "sqlite"


PIPELINES: dict[str, tuple[list[Any], frozenset[str] | None]] = {
    "group": ([group_by(F.kind, n=sum_(F.rest.at), m=avg(F.n))], frozenset(("kind", "n", "rest"))),
    "whole": ([group_by(F.kind, all=push(F))], None),
    "count": ([group_by(n=count_())], NOTHING),
    "matched": (
        [match(F.n > 5), group_by(F.kind, n=count_())],
        frozenset(("kind", "n")),
    ),
    "sorted": ([sort(-F.rest.at), limit(5), project(F.kind)], frozenset(("kind", "rest"))),
    "kept": ([sort(-F.rest.at), limit(5)], None),
    "added": ([add_fields(x=F.n + 1), group_by(F.x, n=count_())], frozenset(("n", "x"))),
}


@pytest.mark.parametrize("name", PIPELINES)
async def test_a_pipeline_gives_the_same_of_few_fields(name: str, scene: Scene) -> None:
    stages, fields = PIPELINES[name]
    assert of_stages(stages) == fields
    async with scene.open() as db:
        things, rows = await filled(scene, db)
        found = [one async for one in things.aggregate(stages)]
        whole = db.collection("whole", history="none")
        await whole.set_many(dict(sorted(rows.items())))
        # Behind an `add_fields` without an end nothing can be left out.
        everything = [
            one async for one in whole.aggregate([match(F.no_such.exists(False)), *stages])
        ]
        assert found == everything


@pytest.mark.parametrize("damage", [b"\x91" * 5000 + b"\x01", b"\xd4\x63\x00", b"\xc1"])
async def test_damaged_documents_are_reported_whatever_is_looked_at(
    damage: bytes, scene: Scene
) -> None:
    """Nesting without end, an unknown extension, no value at all: in a field that is skipped."""
    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.set_many({f"k{at}": {"x": at, "y": [1]} for at in range(5)})
        storage: Any = await things._find()
        key = storage.data_key("k2")
        [record] = await storage.engine.read([key])
        good = b"\x82\xa1x\x02\xa1y\x91\x01"
        assert record.value.endswith(good)
        bad = record.value.removesuffix(good) + b"\x82\xa1x\x02\xa1y" + damage
        await storage.engine.commit(Batch([Put(key, bad)]))
        for ask in (things.get("k2"), things.find_many(F.x >= 0), things.find_many(F.y == 1)):
            with pytest.raises(DeserializationFailed):
                await ask


async def test_where_documents_may_run_out_no_page_but_the_first_is_read_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        for at in range(0, 3_000, 1_000):
            await things.set_many({f"k{at + more}": {"n": 1} for more in range(1_000)}, ttl=60)
        sift, sifted = SnapshotEngine.sift, []

        def noted(self: SnapshotEngine, range: Range, look: Look) -> Sifted | NotNow:
            sifted.append(range)
            return sift(self, range, look)

        monkeypatch.setattr(SnapshotEngine, "sift", noted)
        assert await things.group_by(n=sum_(F.n)) == [{"n": 3_000}]
        assert len(sifted) == 1


def test_the_fields_of_conditions() -> None:
    where = ((F.a.b == 1) & ~(F.c.regex("x") | F.d.near(1, 2, 3))) | F.e.elem_match(F.f == 1)
    assert of_condition(where) == frozenset("acde")
    assert of_condition(F == 5) is None


def test_a_lens_over_nothing_decodes_nothing() -> None:
    assert Lens(NOTHING).document(b"\1\0 no document at all") is None
