"""Pages behind a cursor: each result once, and no page pays for those before it."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from holdfast.contract.errors import DuplicateKey
from holdfast.documents import F
from holdfast.documents.planner import execute, resuming
from holdfast.documents.query import Query, run_reference
from holdfast.documents.query.json_form import query_to_json
from holdfast.documents.query.nodes import EVERYTHING
from tests.documents.test_plans import Making
from tests.store.scene import Scene

SEEDS = 10
QUERIES = 25
ROWS = 40


@pytest.fixture
def resumptions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each walk behind a cursor, whether it began there."""
    found: list[bool] = []

    def resumed(way: Any, order: Any, after: Any, **more: Any) -> Any:
        left = resuming.resumed(way, order, after, **more)
        if after is not None:
            found.append(left.spans != way.spans)
        return left

    monkeypatch.setattr(execute, "resumed", resumed)
    return iter([found])


@pytest.mark.row("I-036", "I-040")
async def test_pages_joined_are_the_whole_result_whatever_the_index(
    scene: Scene, resumptions: Iterator[list[bool]]
) -> None:
    found = next(resumptions)
    names = count()
    async with scene.open() as db:
        for seed in range(SEEDS):
            made = Making(seed)
            things = db.collection(f"things{next(names)}", history="none")
            rows = {f"k{at}": made.document(plain=seed % 4 > 0) for at in range(ROWS)}
            await things.set_many(rows)
            for at in range(4):
                fields, _, _ = made.index()
                try:
                    await things.create_index(f"i{at}", fields, unique=at == 3)
                except DuplicateKey:
                    continue
            for _ in range(QUERIES):
                where = made.condition(1) if made.chance.random() < 0.4 else EVERYTHING
                query = Query(where, made.order([("a",), ("b",)]), 3)
                whole = run_reference(Query(query.where, query.order_by), sorted(rows.items()))
                paged: list[str] = []
                after = None
                for _ in range(ROWS):
                    page = await things.page(
                        query.where, order_by=query.order_by, limit=3, after=after
                    )
                    paged += [one.key for one in page.results]
                    after = page.cursor
                    if after is None:
                        break
                assert paged == [key for key, _ in whole], query_to_json(query)
            await things.drop()
    assert sum(found) > len(found) / 2 > 100


@pytest.mark.parametrize(
    ("order", "where"),
    [
        ("n", None), ("-n", None), (["tied", "n"], None), (["-tied", "-n"], None),
        ("tied", None), ("-tied", None), ("n", F.kind == 1), ("-n", F.kind == 1),
        ("down", None), ("-down", None), ((), F.even == 1),
    ],
)  # fmt: skip
async def test_a_page_looks_at_its_own_documents(scene: Scene, order: Any, where: Any) -> None:
    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.set_many(
            {
                f"{at:04d}": {"n": at, "tied": 1, "kind": at % 2, "even": at % 2, "down": at}
                for at in range(2000)
            }
        )
        indexes = [["n"], ["tied"], ["tied", "n"], ["kind", "n"], ["even"], ["-down"]]
        for fields in indexes:
            await things.create_index("_".join(fields), fields)
        after = None
        wanted = [] if where is None else [where]
        for _ in range(8):
            page = await things.page(*wanted, order_by=order, limit=100, after=after)
            after = page.cursor
        told = await things.explain(*wanted, order_by=order, limit=100, after=after)
        assert "sort" not in str(told["plan"])
        assert told["returned"] == 100
        assert told["examined"]["documents"] < 400
