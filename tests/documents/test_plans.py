"""Every plan gives what the reference evaluator says, whatever indexes there are, on every engine.

Long values make index keys that are cut, few names make conditions meet fields.
"""

import asyncio
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.contract.errors import StoreError
from holdfast.documents.planner.plan import plan_query
from holdfast.documents.query import Query, Row, run_reference
from holdfast.documents.query.nodes import And, Comparison, Membership, Nested, Node, Not, Or, Regex
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.values import Constant
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.matching import matcher

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, 1.0, -3, 2.5, 2**53 + 1, "", "a", "ab", "b", "x" * 150, "x" * 150 + "y"]
)
VALUES = st.one_of(
    SCALARS,
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2),
    st.lists(st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2), max_size=2),
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)
PATHS = st.one_of(
    st.sampled_from("abcd").map(lambda name: (name,)), st.tuples(st.sampled_from("abc"), st.just("a"))
)
CONSTANTS = VALUES.map(Constant)
OPERATORS = st.sampled_from(["eq", "eq", "ne", "gt", "gte", "lt", "lte"])
LEAVES = st.one_of(
    st.builds(Comparison, PATHS, OPERATORS, CONSTANTS),
    st.builds(Comparison, PATHS, OPERATORS, CONSTANTS),
    st.builds(Membership, PATHS, st.lists(CONSTANTS, max_size=3).map(tuple), st.booleans()),
    st.builds(Regex, PATHS, st.sampled_from(["^a", "^ab?", "b$", "^x+y$", "^a|b"])),
)
CONDITIONS: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda several: And(tuple(several))),
        st.lists(inner, max_size=3).map(lambda several: Or(tuple(several))),
        inner.map(Not),
        st.builds(Nested, PATHS, inner),
    ),
    max_leaves=5,
)
ORDERS = st.lists(st.builds(OrderBy, PATHS, st.booleans()), max_size=2).map(tuple)
QUERIES = st.builds(
    Query,
    CONDITIONS,
    ORDERS,
    st.none() | st.integers(0, 6),
    st.integers(0, 2),
)
FIELDS = st.lists(st.tuples(PATHS, st.booleans()), min_size=1, max_size=3, unique_by=lambda f: f[0])
INDEXES = st.lists(
    st.tuples(FIELDS, st.sampled_from(["btree", "btree", "btree", "hash"]), st.booleans()),
    max_size=3,
)

LOOP = asyncio.new_event_loop()
NAMES = count()


@pytest.fixture(scope="module", params=["memory", "lmdb", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("plans")
    url = {
        "memory": "memory://",
        "lmdb": f"lmdb:///{folder}/lmdb?durability=relaxed",
        "sqlite": f"sqlite:///{folder}/file.db?durability=relaxed",
    }[request.param]
    db = holdfast.open(url, housekeeping=False)
    LOOP.run_until_complete(db.open())
    yield db
    LOOP.run_until_complete(db.close())


@pytest.mark.row("I-040", "I-005", "trap 35")
@settings(max_examples=150)
@given(
    documents=st.lists(DOCUMENTS, max_size=10),
    later=st.lists(st.tuples(st.integers(0, 9), st.none() | DOCUMENTS), max_size=4),
    indexes=INDEXES,
    queries=st.lists(QUERIES, min_size=1, max_size=4),
)
def test_every_plan_agrees_with_the_reference(
    database: Any,
    documents: list[Any],
    later: list[tuple[int, Any]],
    indexes: list[Any],
    queries: list[Query],
) -> None:
    async def check() -> None:
        collection = database.collection(f"c{next(NAMES)}", history="none")
        rows = {f"k{at}": document for at, document in enumerate(documents)}
        await collection.set_many(rows)
        if not rows:
            await collection.set("gone", {})
            await collection.delete("gone")
        for at, (fields, kind, sparse) in enumerate(indexes):
            spelled = [OrderBy(path, turned and kind == "btree") for path, turned in fields]
            await collection.create_index(
                f"i{at}", spelled, kind=kind, sparse=sparse and kind == "btree"
            )
        for at, document in later:
            key = f"k{at}"
            if document is None:
                await collection.delete(key)
                rows.pop(key, None)
            else:
                await collection.set(key, document)
                rows[key] = document
        await agree(collection, rows, queries)
        assert await database.check() == []
        await collection.drop()

    LOOP.run_until_complete(check())


async def agree(collection: Any, rows: dict[str, Any], queries: list[Query]) -> None:
    text = matcher(Analyzer())
    stored: list[Row] = sorted(rows.items())
    for query in queries:
        expected = run_reference(query, stored, text=text)
        found = [(one.key, one.value) async for one in collection.query(query)]
        assert found == expected, await collection.explain(query)
        assert await collection.count(query) == len(expected)
        storage = await collection._find()  # noqa: SLF001 - each way by itself
        plan = plan_query(query, storage.number, await storage.catalogue())
        for way in plan.rejected:
            hinted = [one.key async for one in collection.query(query, hint=way.index.name)]
            assert hinted == [key for key, _ in expected], way.index
        whole = replace(query, limit=None, offset=0)
        everything = [key for key, _ in run_reference(whole, stored, text=text)]
        pages: list[str] = []
        cursor = None
        while True:
            page = await collection.page(replace(whole, limit=2, after=cursor))
            pages += [one.key for one in page.results]
            cursor = page.cursor
            if cursor is None:
                break
        assert pages == everything


def test_a_refused_write_leaves_no_index_row(database: Any) -> None:
    async def check() -> None:
        collection = database.collection("refused", history="none")
        await collection.create_index("place", "at", kind="geo")
        with pytest.raises(StoreError):
            await collection.set_many({"a": {"at": [1, 2]}, "b": {"at": "nowhere"}})
        assert await collection.size() == 0
        assert (await collection.list_indexes())[0].entries == 0

    LOOP.run_until_complete(check())
