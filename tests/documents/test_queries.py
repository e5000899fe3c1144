"""Queries of a collection, as its users call them."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import (
    IndexNotFound,
    InvalidInput,
    InvalidQuery,
    QuotaExceeded,
    TimedOut,
)
from holdfast.documents import aggregating, queries
from holdfast.documents.aggregate import (
    Stage,
    aggregate,
    avg,
    count_,
    group_by,
    limit,
    lookup,
    match,
    max_,
    push,
    skip,
    sort,
    sum_,
    unwind,
)
from holdfast.documents.query import F, Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.walking import Results
from tests.store.scene import Scene, listed

ROWS = {
    f"k{at:03}": {
        "n": at,
        "city": "abc"[at % 3],
        "tags": ["x", "y", "z"][: at % 4],
        "a": {"b": at % 7},
    }
    for at in range(100)
}


async def filled(db: Any) -> Any:
    things = db.collection("things")
    await things.set_many(ROWS)
    return things


@pytest.mark.row("I-022", "I-114")
async def test_a_query_streams(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        found = await listed(things.query(F.n < 3))
        assert [(one.key, one.value["n"], one.score) for one in found] == [
            ("k000", 0, None), ("k001", 1, None), ("k002", 2, None),
        ]  # fmt: skip
        # Whoever breaks off, or never begins, holds nothing.
        for _ in range(150):
            async for _one in things.query():
                break
            things.query()
            walk = things.query(order_by="n")
            await anext(walk)
        await walk.aclose()
        await walk.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(walk)


@pytest.mark.row("I-025")
async def test_find_many_is_the_list_of_a_query(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        for index in (False, True):
            if index:
                await things.create_index("n", "n")
            for wanted in (Query.of(F.n > 50, order_by="-n", limit=7), Query.of(city="a")):
                streamed = [one.value async for one in things.query(wanted)]
                assert await things.find_many(wanted) == streamed


@pytest.mark.row("I-036")
async def test_pages_neither_overlap_nor_skip(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        for index in (False, True):
            if index:
                await things.create_index("city", "city")
            whole = await things.find_many(order_by="city")
            by_offset: list[Any] = []
            for start in range(0, 105, 7):
                by_offset += await things.find_many(order_by="city", limit=7, offset=start)
            assert by_offset == whole
            by_cursor: list[Any] = []
            cursor = None
            while True:
                page = await things.page(order_by="city", limit=7, after=cursor)
                by_cursor += [one.value for one in page.results]
                cursor = page.cursor
                if cursor is None:
                    break
            assert by_cursor == whole
        assert await things.find_many(limit=0) == []
        assert await things.find_many(offset=1000) == []
        for wrong in ({"limit": -1}, {"offset": -1}, {"limit": True}, {"limit": "7"}):
            with pytest.raises(InvalidQuery):
                await things.find_many(**wrong)


@pytest.mark.row("I-036")
async def test_pages_are_stable_while_others_write(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        await things.create_index("n", "n")
        page = await things.page(order_by="n", limit=10)
        await things.set("new", {"n": 3.5})
        await things.delete("k000")
        await things.delete("k009")
        rest = await things.page(order_by="n", limit=10, after=page.cursor)
        assert [one.value["n"] for one in rest.results] == list(range(10, 20))
        with pytest.raises(InvalidQuery):
            await things.page(order_by="-n", limit=10, after=page.cursor)
        with pytest.raises(InvalidQuery):
            await things.page(order_by="n", after="nonsense")


@pytest.mark.row("I-037", "I-039")
async def test_selected_fields_and_metadata(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        assert await things.find_many(F.n == 5, select=["city", "a.b"]) == [
            {"city": "c", "a": {"b": 5}}
        ]
        await things.set("k005", ROWS["k005"], modified_by="ada", comment="why")
        [found] = await listed(things.query(n=5))
        assert found.metadata.version == 2
        assert found.metadata.modified_by == "ada"
        assert found.metadata.created_at <= found.metadata.updated_at


@pytest.mark.row("I-026")
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    "stages",
    [
        [match(F.n >= 10), group_by(F.city, n=count_(), most=max_(F.n), all=push(F.n))],
        [unwind("tags"), group_by(F.tags, mean=avg(F.n)), sort("tags")],
        [match(city="a"), sort(-F.n), skip(2), limit(5)],
        [sort("a.b", -F.n), limit(300)],
        [limit(0)],
        [{"count": "how many"}],
    ],
)
async def test_pipelines_agree_with_the_plain_ones(
    scene: Scene, stages: list[Stage], indexed: bool
) -> None:
    async with scene.open() as db:
        things = await filled(db)
        if indexed:
            await things.create_index("n", "n")
        expected = list(aggregate(stages, ROWS.values()))
        assert await listed(things.aggregate(stages)) == expected


@pytest.mark.row("I-026")
async def test_pipelines_that_cannot_be(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        other = db.collection("cities")
        await other.set_many({key: {"code": key, "name": key.upper()} for key in "ab"})
        joined = await listed(
            things.aggregate(
                [match(F.n < 3), lookup("cities", local="city", foreign="code", name="found")]
            )
        )
        assert [[one["name"] for one in row["found"]] for row in joined] == [["A"], ["B"], []]
        with pytest.raises(InvalidQuery):
            await listed(things.aggregate([{"explode": {}}]))
        with pytest.raises(InvalidInput):
            await listed(things.aggregate([limit(1)], timeout=0))
        with pytest.raises(QuotaExceeded):
            await listed(things.aggregate([sort("n")], memory_bytes_max=1000))
        groups = things.group_by(F.city, total=sum_(F.n), where="n < 10")
        assert await groups == [
            {"city": "a", "total": 18}, {"city": "b", "total": 12}, {"city": "c", "total": 15},
        ]  # fmt: skip


async def test_an_aggregation_ends_with_its_time(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        await things.set_many({f"x{at}": {"n": at} for at in range(500)})
        walk = things.aggregate([match(F.n >= 0)], timeout=5)
        await anext(walk)
        scene.clock.advance(10)
        with pytest.raises(TimedOut):
            await listed(walk)


@pytest.mark.parametrize(
    "arguments",
    [
        {"order_by": 7},
        {"select": "n"},
        {"select": []},
        {"after": 7},
    ],
)
async def test_queries_that_cannot_be(scene: Scene, arguments: dict[str, Any]) -> None:
    async with scene.open() as db:
        for things in (db.collection("absent"), await filled(db)):
            with pytest.raises(InvalidQuery):
                await things.find_many(**arguments)
            with pytest.raises(InvalidQuery):
                await things.find_many(7)
            with pytest.raises(InvalidQuery):
                await things.find_many("n >")
            with pytest.raises(InvalidInput):
                await things.find_many(Query(), n=1)
        with pytest.raises(IndexNotFound):
            await things.find_many(n=1, hint="absent")


@pytest.mark.row("I-113")
@pytest.mark.parametrize("name", ["01_typed", "02_unique"])
def test_the_examples_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "documents" / f"{name}.py"))
    told = capsys.readouterr().out
    assert "500 without an index" in told or "1 has it" in told


async def test_a_lookup_that_fails_holds_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregating, "LOOKUP_DOCUMENTS_MAX", 1)
    async with scene.open() as db:
        things = await filled(db)
        stages: list[Stage] = [lookup("things", local="n", foreign="n", name="same")]
        kept: list[QuotaExceeded] = []
        # More than an engine has moments for; an error that is kept keeps what it went through.
        for _ in range(150):
            with pytest.raises(QuotaExceeded) as caught:
                await listed(things.aggregate(stages))
            kept.append(caught.value)


async def test_another_collection_is_read_once_and_in_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    async def counting(name: str, rows: Any, deadline: Any) -> list[Any]:
        read.append(name)
        return await aggregating.held(name, rows, deadline)

    monkeypatch.setattr(queries, "held", counting)

    def over() -> None:
        raise TimedOut("it took too long")

    async with scene.open() as db:
        things = await filled(db)
        stages: list[Stage] = [
            lookup("things", local="n", foreign="n", name="same"),
            lookup("things", local="a.b", foreign="n", name="other"),
            limit(1),
        ]
        [found] = await listed(things.aggregate(stages))
        assert len(found["same"]) == len(found["other"]) == 1
        assert read == ["things"]
        rows: Any = Results(things._begin(Query(), None), lambda one: one)
        with pytest.raises(TimedOut):
            await aggregating.held("things", rows, over)


async def test_a_selection_is_prepared_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Any] = []

    def counting(paths: Any) -> Any:
        prepared.append(paths)
        return compile_select(paths)

    monkeypatch.setattr(queries, "compile_select", counting)
    async with scene.open() as db:
        things = await filled(db)
        assert await things.find_many(F.n < 2, select=["n"]) == [{"n": 0}, {"n": 1}]
        assert len(await listed(things.query(select=["n"]))) == 100
        assert len((await things.page(select=["n"])).results) == 100
        assert len(prepared) == 3
