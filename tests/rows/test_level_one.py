"""Rows of the first level: what every view on entries can do, a transaction like a handle."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast import StoreKey
from holdfast.contract.errors import InvalidKey, KeyNotFound
from holdfast.database.handle import Database
from holdfast.records.interface import KeyValueStoreInterface
from tests.store.scene import Scene, listed

Store = KeyValueStoreInterface
VIEWS = ("handle", "transaction", "rolled back")


@asynccontextmanager
async def view_of(db: Database, view: str) -> AsyncIterator[Store]:
    """The entries of the handle, or of a transaction that is committed or rolled back."""
    if view == "handle":
        yield db.entries
        return
    transaction = await db.transaction().begin()
    yield transaction.entries
    await (transaction.commit() if view == "transaction" else transaction.rollback())


async def pairs(store: Store, pattern: str = "#", **options: Any) -> list[tuple[str, Any]]:
    return [(str(one.key), one.value) for one in await listed(store.items(pattern, **options))]


async def get_set_and_overwrite(store: Store) -> None:
    assert await store.get("a:1") is None
    values: list[Any] = [0, "", None, False, [], {}, b"", {"n": [1, None]}, 1.5]
    for value in values:
        made = await store.set("a:1", value)
        found = await store.get("a:1")
        assert found is not None
        assert (found.value, type(found.value)) == (value, type(value))
        assert found.metadata.version == made.metadata.version
    assert await store.has("a:1")


async def require_raises(store: Store) -> None:
    with pytest.raises(KeyNotFound):
        await store.require("a:none")
    await store.set("a:1", 1)
    assert (await store.require("a:1")).value == 1


async def delete_and_again(store: Store) -> None:
    await store.set("a:1", 1)
    assert await store.delete("a:1") is True
    assert await store.delete("a:1") is False
    assert await store.get("a:1") is None
    assert not await store.has("a:1")
    await store.set("a:1", 2)
    assert (await store.require("a:1")).value == 2


async def keys_values_and_pairs_in_order(store: Store) -> None:
    for key in ("b:2", "a:1", "b:10", "a/c:1", "z"):
        await store.set(key, key)
    await store.delete("b:10")
    expected = sorted(["z", "b:2", "a:1", "a/c:1"], key=lambda key: StoreKey.parse(key).segments)
    assert [str(key) for key in await listed(store.keys())] == expected
    assert await pairs(store) == [(key, key) for key in expected]
    assert await pairs(store, reverse=True) == [(key, key) for key in reversed(expected)]
    assert await pairs(store, "a/#") == [(key, key) for key in expected if key[0] == "a"]
    assert await store.count() == 4
    assert await store.count("b:+") == 1


async def clear(store: Store) -> None:
    await store.set_many({f"a:{n}": n for n in range(30)})
    await store.set("b:1", "kept")
    assert await store.delete_many(await listed(store.keys("a:+"))) == 30
    assert await pairs(store) == [("b:1", "kept")]
    assert await store.count("a:+") == 0


async def many_at_once(store: Store) -> None:
    await store.set_many({"a:1": 1, "a:2": 2})
    found = await store.get_many(["a:2", "a:none", "a:1"])
    assert {str(key): one.value for key, one in found.items()} == {"a:1": 1, "a:2": 2}
    assert await store.delete_many(["a:1", "a:none"]) == 1
    assert await pairs(store) == [("a:2", 2)]


async def values_are_copies(store: Store) -> None:
    given = {"list": [1]}
    await store.set("a:1", given)
    given["list"].append(2)
    (await store.require("a:1")).value["list"].append(3)
    assert (await store.require("a:1")).value == {"list": [1]}


async def bad_keys_are_refused(store: Store) -> None:
    bad: list[Any] = ["", "a/b", 5, "\ud800", None]
    for key in bad:
        with pytest.raises(InvalidKey):
            await store.set(key, 1)
        with pytest.raises(InvalidKey):
            await store.get(key)
    assert await store.count() == 0


LEVEL_ONE: tuple[Callable[[Store], Awaitable[None]], ...] = (
    get_set_and_overwrite, require_raises, delete_and_again, keys_values_and_pairs_in_order,
    clear, many_at_once, values_are_copies, bad_keys_are_refused,
)  # fmt: skip


@pytest.mark.row("I-054", "E-024")
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("part", LEVEL_ONE, ids=lambda part: part.__name__)
async def test_a_transaction_does_what_a_handle_does(
    scene: Scene, part: Callable[[Store], Awaitable[None]], view: str
) -> None:
    async with scene.open() as db:
        async with view_of(db, view) as store:
            await part(store)
            seen = await pairs(store)
            if view != "handle":
                assert await pairs(db.entries) == []
        assert await pairs(db.entries) == ([] if view == "rolled back" else seen)


@pytest.mark.row("E-012")
@pytest.mark.parametrize("view", VIEWS)
async def test_deleting_what_is_not_there_changes_nothing_at_all(scene: Scene, view: str) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"nop": 1, "nope:a": 2, "nopf": 3})
        before = await pairs(db.entries)
        async with view_of(db, view) as store:
            for _ in range(2):
                assert await store.delete("nope") is False
                assert await store.delete_many(["nope", "nope:b"]) == 0
            assert await pairs(store) == before
        assert await pairs(db.entries) == before
        await db.entries.set("last", 4)
        told = []
        async for change in db.watch("#", since=0):
            told.append(str(change.key))
            if told[-1] == "last":
                break
        assert sorted(told) == ["last", "nop", "nope:a", "nopf"]


@pytest.mark.row("I-014", "E-015")
@pytest.mark.parametrize("reader", ["snapshot", "transaction"])
@pytest.mark.parametrize("count", [9, 2_500])
async def test_a_walk_shows_the_moment_it_began_whoever_writes_meanwhile(
    scene: Scene, reader: str, count: int
) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"n:{n:05}": n for n in range(0, 2 * count, 2)})
        beginning = await pairs(db.entries)
        view: Any
        if reader == "snapshot":
            view = await db.snapshot()
            done = view.close
        else:
            view = await db.transaction(read_only=True).begin()
            done = view.rollback
        found = []
        async for entry in view.entries.items("n:+"):
            found.append((str(entry.key), entry.value))
            number = entry.value
            if number % 100 == 4:
                await db.entries.delete(f"n:{number:05}")
                await db.entries.delete(f"n:{2 * count - 2:05}")
                await db.entries.set(f"n:{number + 1:05}", "added")
                await db.entries.set(f"n:{number + 2:05}", "overwritten")
        await done()
        assert found == beginning
        assert await pairs(db.entries) != beginning


@pytest.mark.row("I-018", "trap 43")
async def test_a_thousand_pairs_are_one_commit(scene: Scene) -> None:
    async with scene.open() as db:
        before = await db.head()
        made = await db.entries.set_many({f"n:{n}": n for n in range(1_000)})
        assert await db.head() == before + 1
        assert {entry.revision for entry in made.values()} == {before + 1}
        assert await db.entries.count("n:+") == 1_000
        found = await db.entries.get_many(list(made))
        assert {str(key): one.value for key, one in found.items()} == {
            f"n:{n}": n for n in range(1_000)
        }


@pytest.mark.row("I-102")
async def test_strict_access_raises_what_python_calls_a_missing_key_too(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(KeyError) as caught:
            await db.entries.require("nope")
        assert type(caught.value) is KeyNotFound
        assert caught.value.code == "KEY_NOT_FOUND"
        assert caught.value.details["key"] == "nope"


@pytest.mark.row("I-016", "K-020")
async def test_values_are_isolated_from_both_sides(scene: Scene) -> None:
    async with scene.open() as db:
        given = {"list": [1, {"deep": [2]}]}
        made = await db.entries.set("a", given)
        given["list"].append("after set")
        made.value["list"][1]["deep"].append("after set")
        first, second = await db.entries.require("a"), await db.entries.require("a")
        first.value["list"][1]["deep"].append("after get")
        assert second.value == {"list": [1, {"deep": [2]}]}
        assert (await db.entries.require("a")).value == {"list": [1, {"deep": [2]}]}
