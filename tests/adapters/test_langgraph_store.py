"""Our long-term memory for LangGraph beside the one that it keeps in memory."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

import holdfast
import holdfast.sync
from holdfast.adapters.langgraph_store import HoldfastStore
from holdfast.contract.errors import InvalidInput, InvalidQuery, SerializationFailed, StoreError
from holdfast.contract.runtime import ManualClock
from tests.adapters.suites import opened

ITEMS: list[tuple[tuple[str, ...], str, dict[str, Any]]] = [
    (("users", "ada"), "profile", {"name": "Ada", "age": 36, "tags": ["a", "b"]}),
    (("users", "ada"), "notes", {"text": "likes cats", "score": 4.5, "in": {"x": 1, "y": 2}}),
    (("users", "ada", "old"), "profile", {"name": "A.", "age": "35", "gone": None}),
    (("users", "bob"), "profile", {"name": "Bob", "age": 20, "ok": True}),
    (("user",), "profile", {"name": "nobody"}),
    (("a/b", "+", "#", "c:d%"), "e/f:g", {"odd": True}),
]

FILTERS: list[dict[str, Any]] = [
    {"name": "Ada"}, {"age": 36}, {"age": {"$gt": 30}}, {"age": {"$gte": 20, "$lt": 36}},
    {"age": {"$lte": 20}}, {"name": {"$ne": "Ada"}}, {"in": {"x": 1}}, {"in": {"x": {"$eq": 2}}},
    {"tags": ["a", "b"]}, {"tags": ["a"]}, {"tags": "a"}, {"ok": True}, {"gone": None},
    {"absent": None}, {},
]  # fmt: skip

NAMESPACES: list[dict[str, Any]] = [
    {}, {"prefix": ("users",)}, {"prefix": ("users", "*", "old")}, {"suffix": ("old",)},
    {"suffix": ("*", "old")}, {"max_depth": 1}, {"max_depth": 2, "prefix": ("users",)},
    {"limit": 2}, {"limit": 2, "offset": 1}, {"prefix": ("users",), "suffix": ("bob",)},
    {"prefix": ("use",)},
]  # fmt: skip


def filled(store: BaseStore) -> Any:
    for namespace, key, value in ITEMS:
        store.put(namespace, key, value)
    return store


def seen(found: Sequence[Any]) -> list[Any]:
    return sorted((one.namespace, one.key, one.value) for one in found)


@pytest.fixture(
    params=["memory://", "lmdb:///{}", "sqlite:///{}"], ids=["memory", "lmdb", "sqlite"]
)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open(str(request.param).format(tmp_path / "db")) as database:
        yield database


@pytest.fixture
def store(db: holdfast.sync.Database) -> Any:
    return filled(HoldfastStore(db))


def test_it_answers_as_the_one_in_memory_does(store: Any) -> None:
    other = filled(InMemoryStore())
    for namespace, key, value in ITEMS:
        found = store.get(namespace, key)
        assert (found.namespace, found.key, found.value) == (namespace, key, value)
    assert store.get(("users",), "profile") is None
    for wanted in NAMESPACES:
        assert store.list_namespaces(**wanted) == other.list_namespaces(**wanted), wanted
    for prefix in ((), ("users",), ("users", "ada"), ("user",), ("a/b", "+"), ("none",)):
        assert seen(store.search(prefix)) == seen(other.search(prefix)), prefix
    for filter in FILTERS:
        try:
            expected = seen(other.search(("users",), filter=filter))
        except (TypeError, ValueError):
            continue  # It cannot compare what is missing; see below.
        assert seen(store.search(("users",), filter=filter)) == expected, filter


def test_what_cannot_be_compared_does_not_meet_a_filter(store: Any) -> None:
    found = store.search(("users",), filter={"age": {"$gt": 30}})
    assert [one.namespace for one in found] == [("users", "ada", "old"), ("users", "ada")]
    assert store.search(("users",), filter={"ok": {"$gt": 0}}) == []
    assert [one.key for one in store.search((), filter={"name": {"$gt": "Azz"}})] == [
        "profile", "profile",
    ]  # fmt: skip
    with pytest.raises(InvalidQuery, match=r"an operator of a filter .* found '\$regex'"):
        store.search(("users",), filter={"age": {"$regex": "x"}})


def test_results_come_in_order_and_in_pages(store: Any) -> None:
    every = [(one.namespace, one.key) for one in store.search((), limit=100)]
    assert len(every) == len(ITEMS)
    paged = [
        (one.namespace, one.key)
        for offset in range(0, 8, 2)
        for one in store.search((), limit=2, offset=offset)
    ]
    assert paged == every
    assert store.search((), limit=0) == []
    with pytest.raises(InvalidInput, match="0 or more"):
        store.search((), limit=-1)


def test_operations_of_a_batch_read_first_and_write_as_one_commit(
    db: holdfast.sync.Database, store: Any
) -> None:
    revision = db.head()
    results = store.batch(
        [
            PutOp(("new",), "a", {"n": 1}),
            GetOp(("new",), "a"),
            PutOp(("new",), "a", {"n": 2}),
            PutOp(("users", "ada"), "profile", None),
            SearchOp(("users", "ada"), limit=1),
            ListNamespacesOp((MatchCondition("prefix", ("user",)),)),
        ]
    )
    assert results[1] is None
    assert len(results[4]) == 1
    assert results[5] == [("user",)]
    assert db.head() == revision + 1
    assert store.get(("new",), "a").value == {"n": 2}
    assert store.get(("users", "ada"), "profile") is None
    with pytest.raises(SerializationFailed):
        store.batch([PutOp(("new",), "b", {"n": 1}), PutOp(("new",), "c", {"n": object()})])
    assert store.get(("new",), "b") is None
    with pytest.raises(InvalidInput, match="an operation of a store"):
        store.batch(["get"])
    with pytest.raises(ValueError, match="periods"):
        store.batch([GetOp(("a.b",), "c")])


def test_an_item_knows_when_it_was_made_and_changed() -> None:
    clock = ManualClock()
    with holdfast.sync.open("memory://", clock=clock) as db:
        store = HoldfastStore(db)
        store.put(("a",), "k", {"n": 1})
        first = store.get(("a",), "k")
        clock.advance(5)
        store.put(("a",), "k", {"n": 2})
        second = store.get(("a",), "k")
        assert first is not None
        assert second is not None
        assert second.created_at == first.created_at
        assert (second.updated_at - first.updated_at).total_seconds() == 5
        [found] = store.search(("a",))
        assert found.updated_at == second.updated_at


def test_items_run_out_unless_they_are_read() -> None:
    clock = ManualClock()
    with holdfast.sync.open("memory://", clock=clock) as db:
        store = HoldfastStore(db, ttl={"default_ttl": 10})
        for key in ("read", "found", "left", "peeked", "old"):
            store.put(("a",), key, {"key": key})
        store.put(("a",), "ever", {}, ttl=None)
        store.put(("a",), "short", {}, ttl=1)
        clock.advance(6 * 60)
        assert store.get(("a",), "short") is None
        assert store.get(("a",), "read") is not None
        assert len(store.search(("a",), filter={"key": "found"})) == 1
        assert store.get(("a",), "peeked", refresh_ttl=False) is not None
        revision = db.head()
        assert store.get(("a",), "read") is not None  # So soon again it is not written.
        assert db.head() == revision
        clock.advance(6 * 60)
        assert [one.key for one in store.search(("a",), refresh_ttl=False)] == [
            "ever", "found", "read",
        ]  # fmt: skip
        assert store.list_namespaces() == [("a",)]


@pytest.mark.parametrize("kind", ["loop", "threads"])
def test_awaited(kind: str) -> None:
    async def work() -> None:
        async with opened(kind) as db:
            store = HoldfastStore(db)
            await asyncio.gather(*(store.aput(("a", str(at)), "k", {"n": at}) for at in range(20)))
            item = await store.aget(("a", "7"), "k")
            assert item is not None
            assert item.value == {"n": 7}
            assert len(await store.asearch(("a",), limit=100)) == 20
            assert len(await store.alist_namespaces(prefix=("a",))) == 20
            await store.adelete(("a", "7"), "k")
            assert await store.aget(("a", "7"), "k") is None

    asyncio.run(work())


# --- By meaning -----------------------------------------------------------------------------


def embed(texts: Sequence[str]) -> list[list[float]]:
    """How often each letter stands in a text: enough of a meaning to compare."""
    return [[float(text.count(letter)) for letter in "abcdefgh"] for text in texts]


INDEX: Any = {"dims": 8, "embed": embed, "fields": ["text", "more[*].text"]}


def meant(store: Any) -> Any:
    store.put(("m", "x"), "one", {"text": "aaab", "n": 1})
    store.put(("m", "x"), "two", {"text": "cc", "more": [{"text": "aa"}, {"text": "hh"}], "n": 2})
    store.put(("m", "y"), "three", {"text": "cd", "n": 3})
    store.put(("other",), "four", {"text": "a", "n": 4})
    store.put(("m", "y"), "silent", {"text": "a", "n": 5}, index=False)
    return store


def test_items_are_found_by_meaning(db: holdfast.sync.Database) -> None:
    store, other = meant(HoldfastStore(db, index=INDEX)), meant(InMemoryStore(index=INDEX))
    for options in (
        {"query": "a"}, {"query": "c"}, {"query": "a", "filter": {"n": {"$lt": 2}}},
        {"query": "a", "limit": 1}, {"query": "h", "limit": 2},
    ):  # fmt: skip
        found = [
            (one.key, round(one.score, 5))
            for one in other.search(("m",), **options)
            if one.score is not None
        ]
        ours = [(one.key, round(one.score, 5)) for one in store.search(("m",), **options)]
        # Of equal scores any order is right.
        assert sorted(ours) == sorted(found), options
        assert [score for _, score in ours] == sorted((score for _, score in ours), reverse=True)
    assert [one.key for one in store.search(("m",), query="a", offset=1, limit=1)] == ["one"]
    assert store.search(("m",), query="zzz") == []  # A vector of zeros is similar to nothing.


def test_vectors_change_with_their_item(db: holdfast.sync.Database) -> None:
    store = HoldfastStore(db, index=INDEX)
    assert store.search(("m",), query="a") == []  # Nothing was written yet.
    meant(store)
    store.put(("m", "x"), "two", {"text": "hh"})
    [first, *_] = store.search(("m",), query="h")
    assert (first.key, first.value) == ("two", {"text": "hh"})
    store.delete(("m", "x"), "two")
    assert "two" not in [one.key for one in store.search(("m",), query="h")]
    assert db.collection("langgraph.vectors").count(item="langgraph/m/x:two") == 0
    store.put(("m", "x"), "five", {"deep": {"er": "bb"}}, index=["deep.er"])
    assert store.search(("m",), query="b", limit=1)[0].key == "five"


def test_a_search_looks_further_until_its_filter_is_met(db: holdfast.sync.Database) -> None:
    store = HoldfastStore(db, index={"dims": 8, "embed": embed, "fields": ["text"]})
    for number in range(40):
        store.put(("m",), f"{number:02}", {"text": "a" * 9 + "b" * (number % 7), "n": number})
    store.put(("m",), "last", {"text": "h" + "a", "n": -1})
    [found] = store.search(("m",), query="a", filter={"n": -1}, limit=1)
    assert found.key == "last"


def test_meaning_awaited_with_an_embedding_that_is_awaited() -> None:
    async def aembed(texts: Sequence[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return embed(texts)

    async def work() -> None:
        async with holdfast.open("memory://") as db:
            store = HoldfastStore(db, index={"dims": 8, "embed": aembed})
            await store.aput(("m",), "one", {"text": "aa"})
            await store.aput(("m",), "two", {"text": "hh"})
            found = await store.asearch(("m",), query="h")
            assert found[0].key == "two"
            assert found[0].score is not None

    asyncio.run(work())


def test_vectors_run_out_with_their_item() -> None:
    clock = ManualClock()
    with holdfast.sync.open("memory://", clock=clock) as db:
        store = HoldfastStore(db, index=INDEX, ttl={"default_ttl": 10})
        store.put(("m",), "one", {"text": "aa"})
        clock.advance(6 * 60)
        assert len(store.search(("m",), query="a")) == 1
        clock.advance(6 * 60)
        assert len(store.search(("m",), query="a", refresh_ttl=False)) == 1
        clock.advance(11 * 60)
        assert store.search(("m",), query="a") == []
        assert db.collection("langgraph.vectors").size() == 0


def test_an_embedding_that_goes_wrong_writes_nothing(db: holdfast.sync.Database) -> None:
    def too_few(texts: Sequence[str]) -> list[list[float]]:
        return embed(texts)[1:]

    def raising(texts: Sequence[str]) -> list[list[float]]:
        raise KeyboardInterrupt

    for function, error in ((too_few, InvalidInput), (raising, KeyboardInterrupt)):
        store = HoldfastStore(db, index={"dims": 8, "embed": function, "fields": ["text"]})
        with pytest.raises(error):
            store.put(("m",), "one", {"text": "a"})
    wrong = HoldfastStore(db, index={"dims": 3, "embed": embed, "fields": ["text"]})
    with pytest.raises(StoreError):
        wrong.put(("m",), "one", {"text": "a"})
    assert HoldfastStore(db).search(("m",)) == []
