"""The contract of py-key-value's AsyncKeyValue, written out: its wheel has no suite."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest
from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    InvalidTTLError,
    SerializationError,
)
from key_value.aio.protocols.key_value import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from key_value.aio.wrappers.prefix_keys import PrefixKeysWrapper

import holdfast
from holdfast.adapters.expiring import pack_kept
from holdfast.adapters.key_value import KeyValue
from holdfast.contract.errors import InvalidInput
from holdfast.contract.runtime import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(async_db: holdfast.Database) -> KeyValue:
    return KeyValue(async_db)


async def test_it_fulfils_the_protocols(store: KeyValue) -> None:
    typed: AsyncKeyValue = store
    for protocol in (
        AsyncKeyValue,
        AsyncCullProtocol,
        AsyncDestroyCollectionProtocol,
        AsyncDestroyStoreProtocol,
        AsyncEnumerateCollectionsProtocol,
        AsyncEnumerateKeysProtocol,
    ):
        assert isinstance(typed, protocol)


async def test_an_empty_store_has_nothing(store: KeyValue) -> None:
    assert await store.get("k", collection="c") is None
    assert await store.ttl("k") == (None, None)
    assert await store.get_many(["a", "b"]) == [None, None]
    assert await store.ttl_many(["a", "b"]) == [(None, None), (None, None)]
    assert await store.delete("k") is False
    assert await store.delete_many(["a", "b"]) == 0
    assert await store.keys() == []
    assert await store.collections() == []
    assert await store.destroy() is False


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"none": None, "true": True, "int": 10**18, "float": 1.5, "text": "Hello 世界 🌍\n"},
        {"list": [1, "two", None, [3.0]], "mapping": {"deep": {"deeper": []}}},
        {"z": 1, "a": 2},
    ],
)
async def test_values_come_back_equal_and_in_their_order(
    store: KeyValue, value: dict[str, Any]
) -> None:
    await store.put("k", value)
    found = await store.get("k")
    assert found == value
    assert list(found) == list(value)
    found["changed"] = True
    assert await store.get("k") == value


async def test_a_tuple_comes_back_as_a_list(store: KeyValue) -> None:
    await store.put("k", {"t": (1, "two")})
    assert await store.get("k") == {"t": [1, "two"]}


@pytest.mark.parametrize(
    "value",
    [
        {"v": b"bytes"},
        {"v": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)},
        {"v": uuid.UUID(int=1)},
        {"v": {1, 2}},
        {"v": object()},
        {"v": float("nan")},
        {1: "key"},
        ["no mapping"],
        None,
    ],
)
async def test_what_is_no_json_is_refused_and_nothing_is_written(
    store: KeyValue, value: Any
) -> None:
    with pytest.raises(SerializationError):
        await store.put_many(["a", "k"], [{"fine": 1}, value])
    assert await store.get_many(["a", "k"]) == [None, None]


@pytest.mark.parametrize("ttl", [0, -1, True, float("nan"), float("inf"), "soon", 1e18])
async def test_a_ttl_that_is_none_is_refused(store: KeyValue, ttl: Any) -> None:
    with pytest.raises(InvalidTTLError):
        await store.put("k", {"v": 1}, ttl=ttl)
    assert await store.get("k") is None


@pytest.mark.parametrize("key", [7, None, b"k", "\udcff", "k" * 5000])
async def test_what_cannot_be_a_key_is_refused(store: KeyValue, key: Any) -> None:
    with pytest.raises(InvalidKeyError):
        await store.put(key, {"v": 1})
    with pytest.raises(InvalidKeyError):
        await store.get("k", collection=7)  # type: ignore[arg-type]


async def test_keys_and_collections_are_any_text(store: KeyValue) -> None:
    names = ["", "a", "a/b", "a:b", "a\0b", "\0", "!@#$%^&*()", "é", "long" * 200]
    for collection in names:
        await store.put_many(
            names, [{"at": [collection, key]} for key in names], collection=collection
        )
    for collection in names:
        assert await store.keys(collection) == sorted(names)
        found = await store.get_many(names, collection=collection)
        assert found == [{"at": [collection, key]} for key in names]
    assert await store.collections() == sorted(names)
    assert await store.collections(limit=2) == ["", "\0"]
    assert await store.keys("a", limit=3) == sorted(names)[:3]
    assert await store.destroy_collection("a") is True
    assert await store.destroy_collection("a") is False
    assert await store.collections() == sorted(set(names) - {"a"})
    assert await store.destroy() is True
    assert await store.collections() == []


async def test_no_collection_is_the_default_one(store: KeyValue) -> None:
    await store.put("k", {"v": 1})
    assert await store.get("k", collection="default_collection") == {"v": 1}
    assert await store.get("k", collection="other") is None


async def test_many_are_one_commit(async_db: holdfast.Database, store: KeyValue) -> None:
    await store.put("first", {})
    before = await async_db.head()
    await store.put_many(["a", "b"], ({"v": 1}, {"v": 2}), ttl=60)
    assert await async_db.head() == before + 1
    assert await store.get_many(["b", "missing", "a"]) == [{"v": 2}, None, {"v": 1}]
    assert await store.delete_many(["a", "b", "missing"]) == 2
    assert await async_db.head() == before + 2
    with pytest.raises(InvalidInput):
        await store.put_many(["a", "b"], [{"v": 1}])


async def test_time_to_live() -> None:
    clock = ManualClock()
    async with holdfast.open("memory://", clock=clock, housekeeping=False) as db:
        store = KeyValue(db, clock=clock)
        await store.put("short", {"v": 1}, ttl=2.5)
        await store.put("long", {"v": 2})
        clock.advance(1)
        assert await store.ttl("short") == ({"v": 1}, 1.5)
        assert await store.ttl_many(["long", "short"]) == [({"v": 2}, None), ({"v": 1}, 1.5)]
        clock.advance(2)
        assert await store.ttl("short") == (None, None)
        assert await store.keys() == ["long"]
        assert await store.delete("short") is False
        await store.put("short", {"v": 3}, ttl=2)
        await store.put("short", {"v": 4})  # A put without a ttl drops the one before.
        clock.advance(3)
        assert await store.ttl("short") == ({"v": 4}, None)
        await store.cull()
        assert await store.keys() == ["long", "short"]


async def test_tasks_at_once(store: KeyValue) -> None:
    async def work(number: int) -> None:
        for step in range(5):
            key = f"{number}-{step}"
            await store.put(key, {"v": step})
            assert await store.get(key) == {"v": step}
            assert await store.delete(key)

    await asyncio.gather(*map(work, range(8)))
    assert await store.keys() == []


async def test_its_own_wrappers_stand_on_it(store: KeyValue) -> None:
    prefixed = PrefixKeysWrapper(store, prefix="app")
    cached = PassthroughCacheWrapper(primary_key_value=prefixed, cache_key_value=store)
    await cached.put("k", {"v": 1}, ttl=30)
    assert await cached.get("k") == {"v": 1}
    assert await prefixed.get("k") == {"v": 1}
    assert await cached.delete("k")
    assert await cached.get("k") is None


async def test_what_others_wrote_into_the_store_is_told(
    async_db: holdfast.Database, store: KeyValue
) -> None:
    await store.put("k", {"v": 1})
    raw = await async_db.stores.get("key_value")
    [key] = [key async for key in raw.keys()]  # noqa: SIM118 - a store is no mapping
    for damaged in (b"not json", b"[]"):
        await raw.set(key, pack_kept(damaged, None, 0))
        with pytest.raises(DeserializationError):
            await store.get("k")
    await raw.set(key, b"short")
    with pytest.raises(holdfast.IntegrityFailed, match="each its own"):
        await store.get("k")
