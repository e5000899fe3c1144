"""Arguments that no caller should give: every keeper takes or refuses them alike, by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import (
    DeserializationFailed,
    InvalidValue,
    StoreError,
    TimedOut,
    ValueTooLarge,
)
from holdfast.state import (
    BatchEntry,
    Bound,
    Message,
    MockStoreAdapter,
    RedisAdapter,
    ScopedStore,
    StoreBuilder,
    StreamMessage,
    build_store,
)
from holdfast.state.adapter import StateAdapter
from holdfast.state.areas import area
from holdfast.state.areas.limiter import LimitResult
from holdfast.state.limits import VALUE_BYTES_MAX
from tests.state.conftest import RedisServer, run

#: Python does not write it.
HUGE = 10**5000
TEXTS: list[Any] = [
    "", ":", "a:b", "a\0b", "\ud800", "x" * 300, "x" * 70_000, "é" * 200, " ", "*", "[a]", "\\",
    "a\nb", "{a}", None, 5, True, b"a", ["a"], "-", "+", "$", ">", "0", "1-1", "1-",
    "-1", "\u0663-\u0661",
    "18446744073709551615-18446744073709551615", "18446744073709551616", "9" * 41, "k", "0-x",
]  # fmt: skip
SPANS: list[Any] = [
    0, -1, float("inf"), float("nan"), float("-inf"), True, False, 10**30, HUGE, -HUGE, "5", None,
    1e-9, timedelta(0), timedelta(seconds=-1), timedelta.max, 5, 3.2e10, 1j, [5],
]  # fmt: skip
NUMBERS: list[Any] = [
    0, -1, 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, True, 1.0, "1", None,
    HUGE, -HUGE, float("nan"),
]  # fmt: skip

#: How much one step of a purge does is a keeper's own affair. Whether what is held for a nanosecond
#: still is a moment later depends on the machine.
AS_IT_HAPPENS = [("steps", 1), ("lease", 1e-9), ("semaphore", 1e-9)]

Call = Callable[..., Awaitable[Any]]
Case = tuple[str, Callable[[ScopedStore], Awaitable[Any]]]


async def released(store: ScopedStore, key: Any = "lease", **settings: Any) -> bool:
    lease = await store.claim.acquire(key, **settings)
    return lease is not None and await lease.release()


async def left(store: ScopedStore, key: Any = "permit", permits: Any = 2, **settings: Any) -> bool:
    permit = await store.semaphore.acquire(key, permits, **settings)
    return permit is not None and await permit.release()


async def marked(store: ScopedStore, member: Any) -> list[str]:
    await store.presence.mark("room", member)
    return sorted(await store.presence.members("room"))


async def appended(store: ScopedStore, stream: Any = "s", **settings: Any) -> Any:
    await store.streams.append(stream, 1, **settings)
    found = await store.streams.tail(stream)
    return [one.message for one in found][:3], await store.streams.length(stream)


async def in_group(store: ScopedStore, group: Any, consumer: Any, **settings: Any) -> Any:
    member = store.streams.group(group, consumer)
    await member.ensure("grouped")
    return [one.message for one in await member.read("grouped", **settings)]


async def acknowledged(store: ScopedStore, ids: Any) -> int:
    member = store.streams.group("g", "c")
    await member.ensure("s")
    return await member.ack("s", ids)


async def followed(store: ScopedStore, after: Any) -> Any:
    await store.streams.append("followed", 1)
    messages: Any = store.streams.follow("followed", after=after, block=0.01)
    async with aclosing(messages):
        try:
            async with asyncio.timeout(0.05):
                return (await anext(messages)).message
        except TimeoutError as error:
            if isinstance(error, StoreError):
                raise
            return "waits"


async def once(store: ScopedStore, key: Any, **settings: Any) -> bool:
    return (await store.streams.append_once("once", 1, key, **settings)).appended


async def heard(store: ScopedStore, channel: Any) -> None:
    async with await store.events.subscribe(channel, print):
        pass


async def in_bloom(store: ScopedStore, item: Any) -> Any:
    await store.bloom.create("items", 500)
    return await store.bloom.add("items", item), await store.bloom.contains("items", item)


async def in_batch(store: ScopedStore, *entries: Any) -> Any:
    """One bad item: nothing is written."""
    try:
        await store.batch.set([("good", 1), *entries])
    finally:
        found = await store.batch.get(["good"])
        await store.batch.remove(["good"])
    return found


async def bad_batch(store: ScopedStore, *entries: Any) -> Any:
    try:
        await in_batch(store, *entries)
    except StoreError as error:
        return str(error.code), await store.kv.exists("good")
    return "written"


async def purged(store: ScopedStore, **settings: Any) -> int:
    inside = store.scope("org", "purged")
    await inside.kv.set("a", 1)
    return (await inside.purge_scope(**settings)).total


async def counted(store: ScopedStore, begin: Any, step: Any, **settings: Any) -> Any:
    await store.counter.set("n", begin)
    answers: list[Any] = []
    for count in (store.counter.increment, store.counter.decrement):
        try:
            answers.append(await count("n", step, **settings))
        except StoreError as error:
            answers.append(str(error.code))
        answers.append(await store.counter.get("n"))
    return answers


async def waited(store: ScopedStore, wait: Any) -> Any:
    lease = await store.claim.acquire("taken", ttl=50)
    assert lease is not None
    try:
        async with asyncio.timeout(0.05), store.claim.lease("taken", wait=wait):
            raise AssertionError
    except TimedOut:
        return "timed out"
    except TimeoutError:
        return "waits"
    finally:
        await lease.release()


async def kept(store: ScopedStore, **settings: Any) -> Any:
    @store.cached(**settings, key="kept:{n}")
    async def function(n: int) -> int:
        return n

    return await function(1)


async def scanned(store: ScopedStore, *arguments: Any, **settings: Any) -> Any:
    """All keys from there on: how many a page has depends on what else the server holds."""
    found = await store.dev.scan(*arguments, **settings)
    keys = list(found.keys)
    while found.cursor != "0":
        found = await store.dev.scan(*arguments, **{**settings, "cursor": found.cursor})
        keys += found.keys
    return sorted(keys)


async def judged(work: Awaitable[LimitResult]) -> tuple[bool, int]:
    said = await work
    return said.allowed, said.remaining


async def made(make: Callable[[], object]) -> None:
    make()


async def buried(store: ScopedStore, id: Any) -> bool:
    member = store.streams.group("g", "c")
    return bool(await member.dead_letter("s", StreamMessage(id, 1), "r"))


def of_text(place: int) -> dict[str, Call]:
    return {
        "kv.set": lambda s, t: s.kv.set(t, 1),
        "kv.get": lambda s, t: s.kv.get(t),
        "value": lambda s, t: s.kv.set("value", t),
        "scope": lambda s, t: s.scope("org", t).kv.set("a", 1),
        "scope key": lambda s, t: s.scope(t, "x").kv.set("a", 1),
        "counter": lambda s, t: s.counter.increment(t),
        "claim": lambda s, t: s.claim.once(t, "v", ttl=50),
        "claim value": lambda s, t: s.claim.release("unclaimed", t),
        "lease": released,
        "owner": lambda s, t: released(s, owner=t),
        "member": marked,
        "room": lambda s, t: s.presence.mark(t, "m"),
        "stream": appended,
        "group": lambda s, t: in_group(s, t, "c"),
        "consumer": lambda s, t: in_group(s, "g", t),
        "start": lambda s, t: s.streams.group(f"g{place}", "c").ensure("s", start=t),
        "ack": lambda s, t: acknowledged(s, [t]),
        "ids": acknowledged,
        "dead": buried,
        "follow": followed,
        "once": once,
        "later": lambda s, t: s.streams.append_later(t, 1, 50),
        "publish": lambda s, t: s.events.publish(t, 1),
        "subscribe": heard,
        "limiter": lambda s, t: judged(s.limiter.fixed(t, 5, 500)),
        "semaphore": left,
        "bloom": lambda s, t: s.bloom.create(t, 5),
        "bloom item": in_bloom,
        "tag": lambda s, t: s.cache.invalidate(t),
        "forget": lambda s, t: s.cache.forget(t),
        "batch": lambda s, t: bad_batch(s, (t, 2)),
        "batch get": lambda s, t: s.batch.get(["a", t]),
        "batch keys": lambda s, t: s.batch.get(t),
        "batch remove": lambda s, t: s.batch.remove(["a", t]),
        "pattern": scanned,
    }


#: Cursors begin anew with some of them.
CURSORS: dict[str, Call] = {
    "cursor": lambda s, t: scanned(s, cursor=t),
    "purge": lambda s, t: purged(s, cursor=t),
}


def of_span(place: int) -> dict[str, Call]:
    return {
        "set": lambda s, t: s.kv.set("t", 1, ttl=t),
        "expire": lambda s, t: s.kv.expire("t", t),
        "counter": lambda s, t: s.counter.increment("tc", ttl=t),
        "claim": lambda s, t: s.claim.once("t1", 1, ttl=t),
        "lease": lambda s, t: released(s, ttl=t),
        "wait": waited,
        "batch": lambda s, t: bad_batch(s, BatchEntry("q", 1, t)),
        "idle": lambda s, t: s.streams.group("g", "c").reclaim_idle("s", t),
        "delay": lambda s, t: s.streams.append_later("l", 1, t),
        "remember": lambda s, t: once(s, f"r{place}", remember=t),
        "sliding": lambda s, t: judged(s.limiter.sliding("w", 5, t)),
        "fixed": lambda s, t: judged(s.limiter.fixed("w", 5, t)),
        "rate": lambda s, t: judged(s.limiter.bucket("w", 5, t)),
        "mark": lambda s, t: s.presence.mark("g", "m", ttl=t),
        "semaphore": lambda s, t: left(s, ttl=t),
        "cached": lambda s, t: kept(s, ttl=t),
        "stale": lambda s, t: kept(s, ttl=50, stale=t),
        "early": lambda s, t: kept(s, ttl=50, early=t),
        "bloom rate": lambda s, t: s.bloom.create(f"r{place}", 5, t),
        "bloom ttl": lambda s, t: s.bloom.create(f"t{place}", 5, ttl=t),
        "default": lambda s, t: made(lambda: StoreBuilder.create().with_default_ttl(t)),
    }


def of_number(place: int) -> dict[str, Call]:
    return {
        "max_len": lambda s, n: appended(s, "long", max_len=n),
        "tail": lambda s, n: s.streams.tail("none", n),
        "pending": lambda s, n: s.streams.group("g", "c").pending("s", count=n),
        "read": lambda s, n: in_group(s, "g", "c", count=n),
        "due": lambda s, n: s.streams.release_due("none", count=n),
        "fixed": lambda s, n: judged(s.limiter.fixed("f", n, 500)),
        "sliding": lambda s, n: judged(s.limiter.sliding("s", n, 500)),
        "bucket": lambda s, n: judged(s.limiter.bucket("b", n, 1e-6)),
        "fixed cost": lambda s, n: judged(s.limiter.fixed("fc", 10**9, 500, cost=n)),
        "sliding cost": lambda s, n: judged(s.limiter.sliding("sc", 10**5, 500, cost=n)),
        "bucket cost": lambda s, n: judged(s.limiter.bucket("bc", 10**9, 1e-6, cost=n)),
        "permits": lambda s, n: left(s, permits=n),
        "scan": lambda s, n: scanned(s, "none", count=n),
        "steps": lambda s, n: purged(s, steps=n),
        "capacity": lambda s, n: s.bloom.create(f"c{place}", n),
        "concurrency": lambda s, n: made(
            lambda: s.streams.group("g", "c").consume("s", print, concurrency=n)
        ),
        "deliveries": lambda s, n: made(
            lambda: s.streams.group("g", "c").consume("s", print, max_deliveries=n)
        ),
        "items": lambda s, n: made(lambda: Bound(items=n)),
        "bytes": lambda s, n: made(lambda: Bound(bytes=n)),
        "scope": lambda s, n: s.scope("org", n).kv.set("a", 1),
    }


def applied(call: Call, given: Any) -> Call:
    return lambda store: call(store, given)


def cases() -> Iterator[Case]:
    for make, given in ((of_text, TEXTS), (of_span, SPANS), (of_number, NUMBERS)):
        for place, one in enumerate(given):
            for name, call in make(place).items():
                if (name, one) not in AS_IT_HAPPENS:
                    yield f"{make.__name__} {place}: {name}", applied(call, one)
    for place, text in enumerate(TEXTS):
        if text not in ("0", None):
            for name, call in CURSORS.items():
                yield f"cursor {place}: {name}", applied(call, text)
    for (one, begin), (two, step) in product(enumerate(NUMBERS), enumerate(NUMBERS)):
        ways: tuple[dict[str, Any], ...] = (
            {},
            {"ttl": 50},
            {"maximum": 0},
            {"minimum": 0},
            {"maximum": step},
        )
        for way, how in enumerate(ways):
            call = partial(counted, begin=begin, step=step, **how)
            yield f"count {one} {two} {way}", call


async def answers(store: ScopedStore) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, call in cases():
        assert name not in found
        try:
            found[name] = await call(store)
        except StoreError as error:
            found[name] = str(error.code)
    # No argument is the operation's failure: what is wrong with it has a name.
    assert [name for name, said in found.items() if said == "OPERATION_FAILED"] == []
    return found


@asynccontextmanager
async def opened(name: str, redis: RedisServer) -> AsyncIterator[StateAdapter]:
    if name == "redis":
        async with RedisAdapter.from_url(redis.url) as adapter:
            yield adapter
    elif name == "mock":
        yield MockStoreAdapter()
    else:
        async with holdfast.open(name, housekeeping=False) as db:
            yield db.state_adapter()


@pytest.mark.row("D-129")
def test_every_keeper_answers_hostile_arguments_alike(redis: RedisServer, service: str) -> None:
    async def main() -> None:
        found: dict[str, dict[str, Any]] = {}
        for name in ("redis", "memory://", "mock"):
            async with opened(name, redis) as adapter:
                found[name] = await answers(build_store(adapter, service))
        first = found.pop("redis")
        assert len(first) > 2900
        for name, others in found.items():
            different = {
                place: (answer, others[place])
                for place, answer in first.items()
                if answer != others[place]
            }
            assert different == {}, name

    run(main())


def test_a_value_that_no_keeper_takes_is_refused_before_it_is_sent(
    redis: RedisServer, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server would break the connection off, which others share."""
    assert VALUE_BYTES_MAX == 512 * 1024 * 1024
    monkeypatch.setattr(area, "VALUE_BYTES_MAX", 100)

    async def main() -> None:
        async with opened("redis", redis) as adapter:
            store, large = build_store(adapter, service), "x" * 101
            for call in (
                lambda: store.kv.set("a", large),
                lambda: store.batch.set([("good", 1), ("a", large)]),
                lambda: store.streams.append("s", large),
                lambda: store.events.publish("a", large),
                lambda: store.claim.once("a", large, ttl=5),
            ):
                with pytest.raises(ValueTooLarge):
                    await call()
            assert (await store.dev.scan()).keys == []

    run(main())


@pytest.mark.parametrize(
    "stored", [b"1_0", b" 12 ", b"+5", b"007", b"1.5", b"", b"-", b"9" * 20, b"9" * 5000, b"\xb2"]
)
def test_what_is_no_counter_is_read_as_none(
    redis: RedisServer, service: str, stored: bytes
) -> None:
    async def main() -> None:
        for name in ("redis", "memory://", "mock"):
            async with opened(name, redis) as adapter:
                store = build_store(adapter, service)
                await adapter.set(f"holdfast:state:{service}:counter:n", stored)
                for call in (store.counter.get, store.counter.increment):
                    with pytest.raises(InvalidValue):
                        await call("n")

    run(main())


def test_a_timestamp_of_another_program() -> None:
    at = Message("a", 1, "2026-01-02T03:04:05.678Z").at
    assert Message("a", 1, "2026-01-02T03:04:05.678").at == at
    for text in ("yesterday", "", "2026-13-01"):
        with pytest.raises(DeserializationFailed):
            _ = Message("a", 1, text).at
