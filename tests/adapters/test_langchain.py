"""LangChain's own suites on our store of bytes and our cache, and what they leave out."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.stores import BaseStore
from langchain_tests.integration_tests import (
    AsyncCacheTestSuite,
    BaseStoreAsyncTests,
    BaseStoreSyncTests,
    SyncCacheTestSuite,
)

import holdfast.sync
from holdfast.adapters import langchain
from holdfast.adapters.langchain import HoldfastByteStore, HoldfastCache
from holdfast.contract.errors import DeserializationFailed, InvalidKey, InvalidValue
from holdfast.contract.runtime import ManualClock
from tests.adapters.suites import Test, coroutine_tests, run

THREE = (b"foo", b"\0\xff", b"buzz")


@pytest.fixture
def memory() -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open("memory://") as db:
        yield db


class TestByteStore(BaseStoreSyncTests[bytes]):
    @pytest.fixture
    def kv_store(self, memory: holdfast.sync.Database) -> BaseStore[str, bytes]:
        return HoldfastByteStore(memory)

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        return THREE


class TestCache(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, memory: holdfast.sync.Database) -> BaseCache:
        return HoldfastCache(memory)


@pytest.mark.parametrize("kind", ["loop", "threads"])
@pytest.mark.parametrize("test", coroutine_tests(BaseStoreAsyncTests), ids=lambda test: test[0])
def test_byte_store_awaited(kind: str, test: Test) -> None:
    class Suite(BaseStoreAsyncTests[bytes]):
        kv_store = three_values = None  # type: ignore[assignment]

    run(Suite(), test, kind, lambda db: {"kv_store": HoldfastByteStore(db), "three_values": THREE})


@pytest.mark.parametrize("kind", ["loop", "threads"])
@pytest.mark.parametrize("test", coroutine_tests(AsyncCacheTestSuite), ids=lambda test: test[0])
def test_cache_awaited(kind: str, test: Test) -> None:
    class Suite(AsyncCacheTestSuite):
        cache = None  # type: ignore[assignment]

    run(Suite(), test, kind, lambda db: {"cache": HoldfastCache(db)})


def test_the_suites_have_tests() -> None:
    assert len(coroutine_tests(BaseStoreAsyncTests)) >= 9
    assert len(coroutine_tests(AsyncCacheTestSuite)) >= 6


def test_keys_come_in_order_page_by_page(
    db: holdfast.sync.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(langchain, "PAGE_KEYS", 3)
    store = HoldfastByteStore(db)
    keys = [f"{letter}{number}" for letter in "aäz" for number in range(7)]
    store.mset([(key, b"") for key in reversed(keys)])
    assert list(store.yield_keys()) == sorted(keys, key=str.encode)
    assert list(store.yield_keys(prefix="ä")) == keys[7:14]
    assert list(store.yield_keys(prefix="ä3")) == ["ä3"]

    async def work() -> list[str]:
        return [key async for key in store.ayield_keys(prefix="z")]

    assert asyncio.run(work()) == keys[14:]
    with pytest.raises(InvalidKey, match="found a int"):
        store.mget([1])  # type: ignore[list-item]
    with pytest.raises(InvalidKey, match="lone surrogate"):
        store.mset([("\ud800", b"")])
    with pytest.raises(InvalidValue):
        store.mset([("good", b"1"), ("bad", "text")])  # type: ignore[list-item]
    assert store.mget(["good"]) == [None]  # What is set together is one commit.


def test_values_and_answers_run_out() -> None:
    clock = ManualClock()
    with holdfast.sync.open("memory://", clock=clock) as db:
        store, cache = HoldfastByteStore(db, ttl=10), HoldfastCache(db, ttl=10)
        store.mset([("a", b"1")])
        cache.update("prompt", "model", [Generation(text="answer")])
        clock.advance(11)
        assert store.mget(["a"]) == [None]
        assert cache.lookup("prompt", "model") is None


def test_answers_of_chats_come_back_equal(db: holdfast.sync.Database) -> None:
    cache = HoldfastCache(db)
    call = {"name": "search", "args": {"query": "x"}, "id": "1", "type": "tool_call"}
    answer = [
        ChatGeneration(
            message=AIMessage(content=[{"type": "text", "text": "ä"}], tool_calls=[call]),
            generation_info={"finish_reason": "stop"},
        ),
        Generation(text="b"),
    ]
    cache.update("prompt", "model", answer)
    assert cache.lookup("prompt", "model") == answer
    assert cache.lookup("prompt", "other") is None
    cache.update("promptm", "odel", [])  # Another pair, that reads the same when it is joined.
    assert cache.lookup("prompt", "model") == answer


def test_prompts_are_stored_as_digests_only(db: holdfast.sync.Database) -> None:
    HoldfastCache(db).update("my secret", "model", [Generation(text="answer")])
    [(key, value)] = list(db.stores.get("langchain.cache").iterate())
    assert b"secret" not in key + value


def test_what_cannot_be_kept_is_refused_without_its_values(db: holdfast.sync.Database) -> None:
    cache = HoldfastCache(db)

    class Own(Generation):
        pass

    for bad in (Own(text="secret"), Generation(text="x", generation_info={"secret": object()})):
        with pytest.raises(InvalidValue) as error:
            cache.update("prompt", "model", [bad])
        assert "secret" not in str(error.value)
    assert cache.lookup("prompt", "model") is None


def test_an_answer_of_a_kind_that_is_not_known_is_refused(db: holdfast.sync.Database) -> None:
    cache: Any = HoldfastCache(db)
    cache.update("prompt", "model", [Generation(text="answer")])
    store = db.stores.get("langchain.cache")
    [(key, _)] = list(store.iterate())
    store.set(key, b'[["os.system", {}]]')
    with pytest.raises(DeserializationFailed, match="Clear the cache"):
        cache.lookup("prompt", "model")
    cache.clear()
    assert cache.lookup("prompt", "model") is None
