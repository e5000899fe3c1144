"""Ctrl-C in calls without a loop: what was interrupted holds nothing, and everything goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.state import RedisAdapter
from tests.faults.interrupts import each_line, elsewhere
from tests.state.conftest import RedisServer

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

Store = holdfast.sync.ScopedStore
#: Far longer than a test lasts: what was interrupted lets go, and no time has to pass for it.
TTL_S = 3600.0
#: What a thread of its own lets go may take so many looks of 5 ms.
LOOKS = 400


@pytest.fixture(params=["redis", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, service: str) -> Iterator[Store]:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        with holdfast.sync.state_store(RedisAdapter.from_url(server.url), service) as made:
            yield made
    else:
        with (
            holdfast.sync.open("memory://", housekeeping=False) as db,
            holdfast.sync.state_store(db, service) as made,
        ):
            yield made
            assert db.check() == []


def leased(store: Store) -> None:
    with store.claim.lease("lease", ttl=TTL_S, wait=5):
        store.kv.set("in", 1)


def permitted(store: Store) -> None:
    with store.semaphore.permit("permit", 1, ttl=TTL_S, wait=5):
        store.kv.set("in", 1)


def listened(store: Store) -> None:
    with store.events.subscribe("a", print):
        pass


def counted(store: Store) -> None:
    store.counter.increment("n", ttl=50)


def streamed(store: Store) -> None:
    group = store.streams.group("g", "c")
    group.ensure("s")
    store.streams.append("s", 1, max_len=5)
    group.ack("s", [one.id for one in group.read("s", block=0.01)])


def kept(store: Store) -> None:
    @store.cached(ttl=60, key="kept")
    def function() -> int:
        return 1

    assert function() == 1
    function.invalidate()


CALLS: dict[str, Callable[[Store], None]] = {
    "lease": leased,
    "permit": permitted,
    "subscribe": listened,
    "counter": counted,
    "stream": streamed,
    "cached": kept,
}


def free(store: Store) -> bool:
    return store.claim.holder("lease") is None and store.semaphore.holders("permit") == 0


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupted_call_holds_nothing(store: Store, name: str) -> None:
    call = CALLS[name]
    call(store)
    places = 0

    def works() -> None:
        store.kv.set("n", places)
        assert store.kv.get("n") == places
        for _ in range(LOOKS):
            if free(store):
                return
            time.sleep(0.005)
        raise AssertionError("it is held by nobody who could let go")

    for place in each_line(lambda: call(store), first=places, step=23):
        places += 1
        elsewhere(works, place)
    assert places > 3
    elsewhere(lambda: call(store), "the end")


def test_an_interrupted_subscription_is_heard_no_more(store: Store) -> None:
    heard: list[Any] = []

    def handler(message: Any) -> None:
        heard.append(message.data)

    def once() -> None:
        with store.events.subscribe("b", handler):
            pass

    for _ in each_line(once, step=37):
        store.events.unsubscribe("b")
        store.events.publish("b", 1)
    time.sleep(0.05)
    assert heard == []
    with store.events.subscribe("b", handler):
        store.events.publish("b", 2)
        for _ in range(400):
            if heard:
                break
            time.sleep(0.005)
    assert heard == [2]
