"""The wall clock steps back or ahead: nothing is held, refused or believed for ever by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import MockStoreAdapter, ScopedStore, build_store
from holdfast.state.areas.limiter import LimitResult
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.embedded.conftest import Open

DAY_S = 86_400


def test_an_old_result_does_not_count_for_longer(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = build_store(db, "api", components=replace(system_components(), clock=clock))
            calls: list[int] = []

            async def function() -> int:
                calls.append(1)
                return len(calls)

            plain = store.cached(ttl=30, key="plain")(function)
            tagged = store.cached(ttl=30, key="tagged", tags=["t"])(function)
            for kept in (plain, tagged):
                calls.clear()
                assert [await kept(), await kept()] == [1, 1]
                # Clocks of several machines are apart by a little.
                clock.advance(-5)
                assert await kept() == 1
                clock.advance(-DAY_S)
                assert [await kept(), await kept()] == [2, 2]
                clock.advance(31)
                assert await kept() == 3

    run(main())


def test_a_result_that_cannot_be_read_is_computed_anew(here: Open) -> None:
    async def main() -> None:
        async with here() as (_, store):
            calls: list[int] = []

            @store.cached(ttl=60, key="k")
            async def function() -> int:
                calls.append(1)
                return 5

            assert await function() == 5
            broken: tuple[bytes, ...] = (
                b"{bad", b"5", b"{}", b'{"value":1,"fresh":"x","tags":[]}', b'{"fresh":9}', b"",
            )  # fmt: skip
            for data in broken:
                await store._scene.adapter.of("cache").set("holdfast:state:api:cache:k", data)
                assert [await function(), await function()] == [5, 5]
            assert len(calls) == 1 + len(broken)

    run(main())


@pytest.mark.parametrize("jump_s", [-DAY_S, DAY_S], ids=["back", "ahead"])
def test_whatever_the_clock_does_everything_goes_on(
    here: Open, clock: ManualClock, jump_s: int
) -> None:
    async def main() -> None:
        async with here() as (_, store):
            group = store.streams.group("g", "c")
            await group.ensure("s")
            await store.streams.append("s", 0)
            assert [one.message for one in await group.read("s")] == [0]
            await store.streams.append_later("s", "later", 10)
            for _ in range(3):
                assert await store.limiter.fixed("fixed", 3, 60)
                assert await store.limiter.sliding("sliding", 3, 60)
                assert await store.limiter.bucket("bucket", 3, 60)
            await store.presence.mark("room", "ada", ttl=60)
            permit = await store.semaphore.acquire("p", 1, ttl=60)
            lease = await store.claim.acquire("l", ttl=60)
            assert permit is not None
            assert lease is not None

            clock.advance(jump_s)
            # Each works at once, and says nothing that cannot be.
            verdicts: list[Any] = [
                await store.limiter.fixed("fixed", 3, 60),
                await store.limiter.sliding("sliding", 3, 60),
                await store.limiter.bucket("bucket", 3, 60),
            ]
            for verdict in verdicts:
                assert 0 <= verdict.remaining <= 3
                assert verdict.retry_after is None or verdict.retry_after <= 60
            first = await store.streams.append("s", 1)
            second = await store.streams.append("s", 2)
            assert [int(part) for part in first.split("-")] < [
                int(one) for one in second.split("-")
            ]
            assert [one.message for one in await group.read("s")] == [1, 2]

            # Whoever looks for idle messages sees that it was given out at an instant to come.
            assert len(await group.reclaim_idle("s", 60)) == (jump_s > 0)

            # When as much time has passed as each was asked for, nothing of before is left.
            clock.advance(61)
            for _ in range(2):
                assert await store.limiter.fixed("fixed", 3, 60)
                assert await store.limiter.sliding("sliding", 3, 60)
                assert await store.limiter.bucket("bucket", 3, 60)
            assert len(await group.reclaim_idle("s", 60)) == 3
            if jump_s > 0:
                # What ends at an instant lasts as much longer as the clock was set back.
                assert await store.presence.members("room") == {}
                assert await store.semaphore.acquire("p", 1) is not None
                assert await store.claim.acquire("l") is not None

    run(main())


def limits(store: ScopedStore) -> dict[str, Callable[[], Awaitable[LimitResult]]]:
    """Each lets three through, and the next one a second later."""
    return {
        "fixed": lambda: store.limiter.fixed("k", 3, 1),
        "sliding": lambda: store.limiter.sliding("k", 3, 1),
        "bucket": lambda: store.limiter.bucket("k", 3, 1),
    }


async def is_refused_for_a_second(limit: Callable[[], Awaitable[LimitResult]]) -> bool:
    said = await limit()
    return not said and said.retry_after is not None and 0 < said.retry_after <= 1


def test_limits_in_memory_outlive_a_clock_that_steps_back() -> None:
    async def main() -> None:
        clock = ManualClock()
        store = build_store(MockStoreAdapter(replace(system_components(), clock=clock)), "api")
        for limit in limits(store).values():
            assert all([await limit() for _ in range(3)])
            clock.advance(-DAY_S)
            assert await is_refused_for_a_second(limit)
            clock.advance(0.5)
            assert await is_refused_for_a_second(limit)
            clock.advance(0.6)
            assert await limit()

    run(main())


def test_limits_on_a_server_outlive_a_clock_that_steps_back(
    redis: RedisServer, service: str
) -> None:
    """What stands there is moved ahead by a day, as if the clock had been set back."""

    async def main() -> None:
        async with opened(redis, service) as store:
            for kind, limit in limits(store).items():
                assert all([await limit() for _ in range(3)])
                key = f"holdfast:state:{service}:limiter:{kind}:k"
                assert await command(store, "PEXPIRE", key, DAY_S * 1000) == 1
                if kind == "sliding":
                    for member in await command(store, "ZRANGE", key, 0, -1):
                        await command(store, "ZINCRBY", key, DAY_S * 1000, member)
                if kind == "bucket":
                    await command(store, "HINCRBY", key, "at", DAY_S * 1000)
                    await command(store, "HSET", key, "tokens", "0")
                assert await is_refused_for_a_second(limit)
                assert 0 < await command(store, "PTTL", key) <= 3000
                if kind == "sliding":
                    [[_, score], *_] = await pairs(store, key)
                    assert float(score) <= await now_ms(store)

    run(main())


async def pairs(store: ScopedStore, key: str) -> list[list[bytes]]:
    found = await command(store, "ZRANGE", key, 0, -1, "WITHSCORES")
    return [list(pair) for pair in zip(found[::2], found[1::2], strict=True)]


async def now_ms(store: ScopedStore) -> float:
    seconds, micros = await command(store, "TIME")
    return int(seconds) * 1000 + int(micros) / 1000
