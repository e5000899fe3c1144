"""The twin of a store, for callers without an event loop: on a database, and on a server."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import (
    AdapterRequired,
    InvalidInput,
    LeaseLost,
    ServiceRequired,
    StoreClosed,
    TimedOut,
)
from holdfast.runtime.drive import drive
from holdfast.state import Events, MockStoreAdapter, RedisAdapter, RetryAdapter, StoreBuilder
from tests.state.conftest import RedisServer

Store = holdfast.sync.ScopedStore


@pytest.fixture(params=["redis", "lmdb", "sqlite", "mock"])
def store(request: pytest.FixtureRequest, tmp_path: Path, service: str) -> Iterator[Store]:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        with holdfast.sync.state_store(
            RetryAdapter(RedisAdapter.from_url(server.url)), service
        ) as made:
            yield made
    elif request.param == "mock":
        with holdfast.sync.state_store(MockStoreAdapter(), service) as made:
            yield made
    else:
        with (
            holdfast.sync.open(f"{request.param}:///{tmp_path}/db") as db,
            holdfast.sync.state_store(db, service) as made,
        ):
            yield made


def until(condition: Callable[[], Any]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come")


@pytest.mark.row("D-002")
def test_every_area(store: Store) -> None:
    assert store.kv.set("a", {"n": 1}, ttl=60)
    assert store.kv.get("a") == {"n": 1}
    assert 59 < (store.kv.remaining("a") or 0) <= 60
    assert store.kv.get_or_set("b", lambda: 5) == 5
    store.batch.set({"c": 1, "d": 2})
    assert store.batch.get(["c", "d", "e"]) == [1, 2, None]
    assert sorted(store.dev.iterate()) == ["a", "b", "c", "d"]
    assert store.counter.increment("n", 5) == 5
    assert store.claim.once("o", "me", ttl=5)
    assert not store.claim.once("o", "you", ttl=5)
    assert store.limiter.fixed("f", 1, 60)
    assert not store.limiter.fixed("f", 1, 60)
    store.presence.mark("room", "ann")
    assert set(store.presence.members("room")) == {"ann"}
    inner = store.scope("org", 7)
    assert isinstance(inner, Store)
    assert inner.kv.get("a") is None
    inner.kv.set("a", 1)
    assert inner.purge_scope().removed == {"kv": 1}
    assert repr(store) == repr(store._inner)


def test_leases_and_permits_are_blocks(store: Store) -> None:
    with store.claim.lease("l", ttl=0.3) as lease:
        assert isinstance(lease, holdfast.sync.Lease)
        time.sleep(0.5)  # It is renewed meanwhile.
        assert lease.held
        assert store.kv.set("guarded", 1, fence=lease)
        assert store.claim.acquire("l", ttl=5) is None
        with pytest.raises(TimedOut), store.claim.lease("l", ttl=1):
            raise AssertionError
    with pytest.raises(ZeroDivisionError), store.claim.lease("l", ttl=5):
        raise ZeroDivisionError
    again = store.claim.acquire("l", ttl=5)
    assert again is not None
    assert again.release()
    with pytest.raises(LeaseLost), store.claim.lease("l", ttl=5) as lost:
        # Somebody deletes it past its owner.
        drive(store._inner.claim._adapter.delete([lost.whole]))
    with (
        store.semaphore.permit("s", 1, ttl=5),
        pytest.raises(TimedOut),
        store.semaphore.permit("s", 1, ttl=5),
    ):
        raise AssertionError
    assert store.semaphore.holders("s") == 0


def test_streams_block_and_are_consumed(store: Store) -> None:
    group = store.streams.group("g", "one")
    assert group.ensure("s")
    began = time.monotonic()
    assert group.read("s", block=0.2) == []
    assert 0.15 < time.monotonic() - began < 20
    threading.Timer(0.1, lambda: store.streams.append("s", "hello")).start()
    [message] = group.read("s", block=5)
    assert message.message == "hello"
    assert group.ack("s", [message.id]) == 1
    done: list[Any] = []
    consumption = group.consume("s", lambda found: done.append(found.message), block=0.1)
    working = threading.Thread(target=consumption.run)
    working.start()
    for n in range(5):
        store.streams.append("s", n)
    until(lambda: len(done) == 5)
    consumption.stop()
    working.join(5)
    assert not working.is_alive()
    assert (done, consumption.done) == ([*range(5)], 5)
    followed = store.streams.follow("s", after="0")
    assert [next(followed).message for _ in range(3)] == ["hello", 0, 1]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_signal_ends_a_consumer_whose_handler_it_meets(
    store: Store, kind: signal.Signals
) -> None:
    """Who works in the main thread can be stopped; what was in hand is done by the next."""

    def stop(*_: object) -> None:
        raise SystemExit(7)

    def handler(message: Any) -> None:
        os.kill(os.getpid(), kind)
        time.sleep(0.2)

    store.streams.append("s", 1)
    group = store.streams.group("g", "one")
    wanted = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}[kind]
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(wanted):
            group.consume("s", handler, block=0.05).run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [one.consumer for one in group.pending("s")] == ["one"]
    done: list[Any] = []
    other = store.streams.group("g", "two")
    consumption = other.consume(
        "s", lambda m: done.append(m.message), block=0.05, reclaim_idle=0.01
    )
    working = threading.Thread(target=consumption.run)
    working.start()
    until(lambda: done == [1])
    consumption.stop()
    working.join(5)
    assert group.pending("s") == []


def test_events_reach_a_handler(store: Store) -> None:
    got: list[Any] = []
    subscription = store.events.subscribe("user:*", lambda message: got.append(message.data))
    store.events.publish("user:created", 1)
    until(lambda: got == [1])
    until(lambda: subscription.delivered == 1)
    assert [one.channel for one in store.events.subscriptions()] == ["user:*"]
    subscription()
    store.events.publish("user:created", 2)
    time.sleep(0.1)
    assert got == [1]
    with store.events.subscribe("a", print):
        pass
    assert store.events.subscriptions() == []


@pytest.mark.row("D-081")
def test_a_plain_function_is_computed_once(store: Store) -> None:
    calls: list[int] = []

    @store.cached(ttl=60, key="k{number}", tags=["t"])
    def slow(number: int) -> int:
        """Doc."""
        calls.append(number)
        time.sleep(0.1)
        if number < 0:
            raise ZeroDivisionError
        return number * 2

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(slow(4))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (results, calls) == ([8] * 8, [4])
    assert slow.__doc__ == "Doc."
    slow.invalidate(4)
    assert slow(4) == 8
    store.cache.invalidate("t")
    assert slow(4) == 8
    assert calls == [4, 4, 4]
    with pytest.raises(ZeroDivisionError):
        slow(-1)


def test_threads_share_it(store: Store) -> None:
    sums: list[int] = []

    def count() -> None:
        sums.extend(store.counter.increment("n") for _ in range(50))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(sums) == list(range(1, 401))


def test_where_a_loop_runs_too(store: Store) -> None:
    """In a notebook's cell, for one."""

    async def main() -> None:
        store.kv.set("a", 1)
        assert store.kv.get("a") == 1
        with store.claim.lease("l"):
            store.streams.append("s", 1)

    asyncio.run(main())


def test_declared_events(service: str) -> None:
    events = Events.create("user").event("created").build()
    builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service(service)
    store = holdfast.sync.state_store(builder.add_events(events))
    got: list[Any] = []
    store.events.user.created.subscribe(lambda message: got.append(message.data))
    store.events["user"]["created"].publish(1)
    store.events.user.created.publish(2)
    until(lambda: got == [1, 2])
    assert "user" in dir(store.events)
    assert "created" in dir(store.events.user)


def test_a_transaction(tmp_path: Path) -> None:
    with holdfast.sync.open(f"lmdb:///{tmp_path}/db") as db:
        store = holdfast.sync.state_store(StoreBuilder.create().with_adapter(db).with_service("a"))
        begun = db.transaction().begin()
        store.on(begun).counter.increment("a")
        begun.rollback()
        with db.transaction() as tx:
            store.on(tx).counter.increment("a")
            tx.entries.set("e", 1)
        assert store.counter.get("a") == 1
        with db.snapshot() as moment:
            store.counter.increment("a")
            assert store.on(moment).counter.get("a") == 1


def test_what_cannot_be_built() -> None:
    with pytest.raises(AdapterRequired):
        holdfast.sync.state_store(5, "api")
    with pytest.raises(ServiceRequired):
        holdfast.sync.state_store(MockStoreAdapter())


def test_after_close(redis: RedisServer, service: str) -> None:
    before = threading.enumerate()
    with holdfast.sync.state_store(RedisAdapter.from_url(redis.url), service) as store:
        store.kv.set("a", 1)
        [thread] = [one for one in threading.enumerate() if one not in before]
        assert thread.name == "holdfast redis"
        store.close()
        assert not thread.is_alive()
    with pytest.raises(StoreClosed):
        store.kv.get("a")
    never_used = holdfast.sync.state_store(RedisAdapter.from_url(redis.url), service)
    never_used.close()
    with pytest.raises(StoreClosed):
        never_used.kv.get("a")


def test_kept_methods_and_functions_that_ask_for_themselves(store: Store) -> None:
    calls: list[int] = []

    class Shop:
        name = "shop"

        @store.cached(ttl=60, key="{self.name}:{n}")
        def price(self, n: int) -> int:
            calls.append(n)
            return n * 2

    shop = Shop()
    assert [shop.price(4), shop.price(4)] == [8, 8]
    shop.price.invalidate(4)
    assert shop.price(4) == 8
    assert calls == [4, 4]

    @store.cached(ttl=60, key="same")
    def outer(n: int) -> int:
        return n and inner(n)

    @store.cached(ttl=60, key="other")
    def inner(n: int) -> int:
        return int(outer(n - 1))

    with pytest.raises(InvalidInput, match="would wait for itself"):
        outer(1)
    assert outer(0) == 0


def test_what_renews_a_lease_ends_with_it(store: Store) -> None:
    before = threading.enumerate()
    for _ in range(20):
        with (
            store.claim.lease("lease", ttl=3600.0),
            store.semaphore.permit("permit", 1, ttl=3600.0),
        ):
            assert len(threading.enumerate()) >= len(before) + 2
    for one in threading.enumerate():
        if one not in before and one.name.startswith("holdfast keeps"):
            one.join(10)
            assert not one.is_alive()
