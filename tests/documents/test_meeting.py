"""Indexes that each bound a part of a condition meet, or join, where that pays.

That results are those of the reference evaluator whatever indexes meet, `test_plans` holds.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.documents.planner import narrowing, weighing
from holdfast.documents.planner.execute import Run
from holdfast.documents.planner.rows import documents_in
from holdfast.documents.query import F
from tests.documents.test_indexes import stage_of
from tests.documents.test_plans import LOOP, database
from tests.store.scene import Scene

THINGS = 2_400
CHANCE = random.Random(11)
#: About a tenth has each colour and each shape, and a hundredth both together.
DOCUMENTS: dict[str, Any] = {
    f"k{at:05}": {"colour": CHANCE.randrange(10), "shape": CHANCE.randrange(10), "n": at}
    for at in range(THINGS)
}
COLOURED = sum(one["colour"] == 3 for one in DOCUMENTS.values())
SHAPED = sum(one["shape"] == 4 for one in DOCUMENTS.values())
BOTH = [key for key, one in DOCUMENTS.items() if (one["colour"], one["shape"]) == (3, 4)]
WANTED = (F.colour == 3) & (F.shape == 4)

__all__ = ["database"]


@pytest.fixture(scope="module")
def things(database: Any) -> Any:
    """A collection that tests only read."""

    async def made() -> Any:
        collection = database.collection("things", history="none")
        await collection.set_many(
            {key: one | {"twin": one["colour"]} for key, one in DOCUMENTS.items()}
        )
        await collection.create_index("colour n", ["colour", "-n"])
        await collection.create_index("shape", "shape", kind="hash")
        for name in ("n", "twin"):
            await collection.create_index(name, name)
        return collection

    return LOOP.run_until_complete(made())


def met(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an explained intersection takes from, by index."""
    stage = stage_of(told, "intersection")
    assert stage is not None, told["plan"]
    return {one["index"]: one for one in stage["inputs"]}


@pytest.mark.row("I-048")
def test_indexes_that_meet_examine_fewer_documents(things: Any) -> None:
    async def check() -> None:
        told = await things.explain(WANTED)
        inputs = met(told)
        assert set(inputs) == {"shape", "colour n"}
        assert inputs["shape"]["bounds"] == {"shape": ["4"]}
        assert inputs["colour n"]["bounds"] == {"colour": ["3"]}
        assert {name: one["keys"] for name, one in inputs.items()} == {
            "shape": SHAPED, "colour n": COLOURED,
        }  # fmt: skip
        for one in inputs.values():
            assert one["keys"] / 2 < one["estimate"]["keys"] < one["keys"] * 2
        assert told["examined"] == {"keys": SHAPED + COLOURED, "documents": len(BOTH)}
        # An index by itself looks at ten times as many documents; `hint` still asks for it.
        alone = await things.explain(WANTED, hint="shape")
        assert stage_of(alone, "intersection") is None
        assert alone["examined"] == {"keys": SHAPED, "documents": SHAPED}
        for hint in (None, "shape", "colour n", ""):
            found = [one.key async for one in things.query(WANTED, hint=hint)]
            assert found == BOTH

    LOOP.run_until_complete(check())


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ((F.colour == 3) & (F.n >= 0), "all documents have the other"),
        ((F.colour == 3) & (F.n >= THINGS - 90), "one index finds few"),
        ((F.colour == 3) & (F.twin == 3), "those of one are those of the other"),
    ],
)
def test_indexes_do_not_meet_where_it_does_not_pay(things: Any, wanted: Any, why: str) -> None:
    async def check() -> None:
        told = await things.explain(wanted)
        assert stage_of(told, "intersection") is None, why
        assert await things.find_many(wanted) == await things.find_many(wanted, hint="")

    LOOP.run_until_complete(check())


@pytest.mark.row("I-043")
def test_the_order_is_that_of_the_index_that_is_walked(things: Any) -> None:
    async def check() -> None:
        told = await things.explain(WANTED, order_by="-n")
        assert list(met(told)) == ["shape", "colour n"]
        assert stage_of(told, "sort") is None
        assert told["warnings"] == []
        by_scan = await things.find_many(WANTED, order_by="-n", hint="")
        assert [one["n"] for one in by_scan] == [DOCUMENTS[key]["n"] for key in reversed(BOTH)]
        assert await things.find_many(WANTED, order_by="-n") == by_scan
        # The first few are found sooner without the other index.
        few = await things.explain(WANTED, order_by="-n", limit=1)
        assert stage_of(few, "intersection") is None
        # Pages may be of different plans, and go on where the last one ended.
        pages: list[Any] = []
        cursor = None
        while not pages or cursor is not None:
            page = await things.page(WANTED, order_by="-n", limit=9, after=cursor)
            pages += [one.value for one in page.results]
            cursor = page.cursor
        assert pages == by_scan

    LOOP.run_until_complete(check())


def test_too_many_keys_to_hold_are_not_held(things: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    room_bytes = narrowing.OVERHEAD_BYTES * 100

    async def check() -> None:
        # More than the estimate said: one index goes on by itself, and tells that it does.
        with monkeypatch.context() as patched:
            patched.setattr(narrowing, "HELD_BYTES_MAX", room_bytes)
            told = await things.explain(WANTED)
            assert stage_of(told, "intersection") is None
            assert stage_of(told, "index_scan") is not None
            assert told["examined"]["documents"] in (SHAPED, COLOURED)
            assert told["examined"]["documents"] < told["examined"]["keys"]
            assert "too many keys" in told["warnings"][0]
            assert [one.key async for one in things.query(WANTED)] == BOTH
            assert await things.count(WANTED) == len(BOTH)
            found = await things.find_many(WANTED, order_by="-n", limit=15)
            assert [one["n"] for one in found] == [int(key[1:]) for key in BOTH[:-16:-1]]
        # As many as the estimate says: it is not begun.
        with monkeypatch.context() as patched:
            patched.setattr(weighing, "HELD_BYTES_MAX", room_bytes)
            told = await things.explain(WANTED)
            assert told["examined"]["keys"] == told["examined"]["documents"]
            assert told["warnings"] == []

    LOOP.run_until_complete(check())


def test_a_query_that_is_cancelled_while_it_gathers_keys_holds_nothing(
    things: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []

    async def check() -> None:
        begun = asyncio.Event()

        async def slow(*arguments: Any) -> AsyncIterator[Any]:
            try:
                async for page in documents_in(*arguments):
                    yield page
                    begun.set()
                    await asyncio.Event().wait()
            finally:
                closed.append(True)

        with monkeypatch.context() as patched:
            patched.setattr(narrowing, "documents_in", slow)
            task = asyncio.create_task(things.find_many(WANTED))
            async with asyncio.timeout(10):
                await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert closed == [True]
        assert len(await things.find_many(WANTED)) == len(BOTH)

    LOOP.run_until_complete(check())


@pytest.mark.row("I-048")
def test_an_alternative_beside_an_index_joins_where_it_pays(things: Any) -> None:
    async def check() -> None:
        rare = (F.colour <= 5) & ((F.n == 5) | (F.n == 17) | (F.n >= THINGS - 3))
        told = await things.explain(rare)
        union = stage_of(told, "union")
        assert union is not None
        assert [one["keys"] for one in union["inputs"]] == [1, 1, 3]
        assert told["examined"]["documents"] == 5
        common = (F.colour == 3) & ((F.n >= 5) | (F.shape == 4))
        assert stage_of(await things.explain(common), "union") is None
        for one in (rare, common):
            assert await things.find_many(one) == await things.find_many(one, hint="")
        # The first few in order are met sooner by a walk than all of both are.
        either = (F.n >= 5) | (F.shape == 4)
        first = await things.explain(either, order_by="n", limit=3)
        assert stage_of(first, "union") is None
        assert first["examined"]["documents"] < 100
        # A document that several branches find is found once.
        both = await things.explain((F.colour == 3) | (F.shape == 4))
        assert stage_of(both, "union") is not None
        assert both["returned"] == COLOURED + SHAPED - len(BOTH) == both["examined"]["documents"]

    LOOP.run_until_complete(check())


def test_explain_of_a_union_estimates_each_branch_by_its_own_condition(database: Any) -> None:
    async def check() -> None:
        some = database.collection("some", history="none")
        await some.set_many({f"k{at:03}": {"a": at % 3, "b": at % 5, "c": at} for at in range(90)})
        await some.create_index("ab", ["a", "b"])
        await some.create_index("c", "c")
        told = await some.explain(((F.a == 1) & (F.b == 2)) | (F.c == 3))
        union = stage_of(told, "union")
        assert union is not None
        assert [one["estimate"]["keys"] for one in union["inputs"]] == [6, 1]
        assert told["returned"] == 7

    LOOP.run_until_complete(check())


async def test_what_ran_out_is_neither_counted_nor_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.set_many(DOCUMENTS)
        for name in ("colour", "shape"):
            await things.create_index(name, name)
        await things.set("short", {"colour": 3, "shape": 4, "n": -1}, ttl=5)
        assert len(met(await things.explain(WANTED))) == 2
        # The rows of both indexes say it all: no document is read.
        with monkeypatch.context() as patched:
            patched.setattr(Run, "documents", None)
            assert await things.count(WANTED) == len(BOTH) + 1
        scene.clock.advance(10)
        assert await things.count(WANTED) == len(BOTH)
        assert await things.count(WANTED, offset=5, limit=10) == 10
        assert [one.key async for one in things.query(WANTED)] == BOTH
        # A walk that has begun is of one moment.
        walk = things.query(WANTED)
        first = (await anext(walk)).key
        await things.delete_many(BOTH)
        assert [first, *[one.key async for one in walk]] == BOTH
        # A transaction sees what it writes. There rules decide, and one index answers.
        async with db.transaction() as tx:
            inside = tx.collection("things")
            await inside.set("new", {"colour": 3, "shape": 4})
            assert [one.key async for one in inside.query(WANTED)] == ["new"]
            assert stage_of(await inside.explain(WANTED), "intersection") is None
        assert [one.key async for one in things.query(WANTED)] == ["new"]
