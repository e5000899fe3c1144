"""kv and counter on a real server."""

import asyncio
import math
from typing import Any

import pytest

from holdfast import KEEP
from holdfast.contract.errors import (
    DeserializationFailed,
    InvalidValue,
    QuotaExceeded,
    SerializationFailed,
)
from tests.state.conftest import command, opened, run
from tests.state.places import Place


@pytest.mark.row("D-027", "D-029", "D-154")
def test_set_and_time_to_live(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            key = f"holdfast:state:{service}:kv:a"
            await store.kv.set("a", {"x": 1}, ttl=60)
            assert 59_000 < await command(store, "PTTL", key) <= 60_000
            await store.kv.set("a", {"x": 2}, ttl=KEEP)
            assert 59_000 < await command(store, "PTTL", key) <= 60_000
            await store.kv.set("a", {"x": 3})
            assert await command(store, "PTTL", key) == -1
            assert await store.kv.get("a") == {"x": 3}

    run(main())


@pytest.mark.row("D-146", "D-149")
def test_values_come_back_as_they_were(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            values: tuple[Any, ...] = (
                None, 0, "", [], {}, False, "123", "null", 1.5, "ä", [1, {"a": None}],
            )  # fmt: skip
            for value in values:
                await store.kv.set("a", value)
                missing = object()
                assert await store.kv.get("a", missing) == value
                assert type(await store.kv.get("a")) is type(value)
            await store.kv.set("a", {"b": 1})
            raw = await command(store, "GET", f"holdfast:state:{service}:kv:a")
            assert raw == b'{"b":1}'
            assert await store.kv.get("none") is None

    run(main())


@pytest.mark.row("D-028")
@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, True, "5", 1e12, object()])
def test_a_time_to_live_that_is_none(place: Place, service: str, ttl: object) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            with pytest.raises(InvalidValue):
                await store.kv.set("a", 1, ttl=ttl)  # type: ignore[arg-type]
            assert not await store.kv.exists("a")

    run(main())


@pytest.mark.row("D-031", "D-032", "D-033")
def test_remove_expire_touch(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            assert await store.kv.remove("nope") is None  # type: ignore[func-returns-value]
            assert not await store.kv.expire("nope", 1)
            assert not await store.kv.exists("nope")
            await store.kv.set("a", 1)
            await store.kv.remove("a")
            assert not await store.kv.exists("a")
            for verb in (store.kv.expire, store.kv.touch):
                await store.kv.set("a", 1)
                assert await verb("a", 0.1)
                await asyncio.sleep(0.2)
                assert not await store.kv.exists("a")

    run(main())


@pytest.mark.row("D-110", "D-026", "D-112", "D-025")
def test_what_cannot_be_stored_or_read(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            circle: list[object] = []
            circle.append(circle)
            with pytest.raises(SerializationFailed):
                await store.kv.set("a", circle)
            assert not await store.kv.exists("a")
            await command(store, "SET", f"holdfast:state:{service}:kv:a", "{bad")
            with pytest.raises(DeserializationFailed):
                await store.kv.get("a")

    run(main())


@pytest.mark.row("D-165")
def test_conditional_writes(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            assert not await store.kv.set("a", 0, if_present=True)
            assert await store.kv.set("a", 1, if_absent=True)
            assert not await store.kv.set("a", 2, if_absent=True)
            assert await store.kv.get("a") == 1
            assert await store.kv.set("a", 3)
            assert await store.kv.get("a") == 3

    run(main())


@pytest.mark.row("D-090")
def test_get_or_set_gives_all_the_same_value(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            variants = iter(range(1000))

            async def make() -> int:
                await asyncio.sleep(0)
                return next(variants)

            found = await asyncio.gather(
                *(store.kv.get_or_set("v", make, ttl=604800) for _ in range(100))
            )
            assert len(set(found)) == 1

    run(main())


@pytest.mark.row("D-034", "D-035", "D-037", "D-192")
def test_counters(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            counter = store.counter
            assert await counter.increment("a") == 1
            assert await counter.increment("a", 5) == 6
            assert await counter.decrement("a", 2) == 4
            assert await counter.decrement("b") == -1
            assert await counter.get("a") == 4
            assert await counter.get("none") == 0
            assert await counter.initialise("stock", 10)
            assert not await counter.initialise("stock", 99)
            bought = await asyncio.gather(
                *(counter.decrement("stock", minimum=0) for _ in range(11)), return_exceptions=True
            )
            assert sum(isinstance(one, QuotaExceeded) for one in bought) == 1
            assert await counter.get("stock") == 0
            await counter.set("e", 3)
            await counter.expire("e", 0.15)
            assert await counter.increment("e") == 4
            await asyncio.sleep(0.25)
            assert await counter.get("e", default=-1) == -1

    run(main())


@pytest.mark.row("D-083")
def test_time_to_live_comes_with_the_first_step(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            key = f"holdfast:state:{service}:counter:a"
            await store.counter.increment("a", ttl=60)
            await command(store, "PEXPIRE", key, 30_000)
            await store.counter.increment("a", ttl=60)
            assert await command(store, "PTTL", key) <= 30_000
            await store.counter.increment("a", ttl=60, ttl_on="always")
            assert await command(store, "PTTL", key) > 30_000
            with pytest.raises(QuotaExceeded):
                await store.counter.increment("fresh", 5, maximum=4)
            assert await command(store, "EXISTS", f"holdfast:state:{service}:counter:fresh") == 0

    run(main())


@pytest.mark.row("D-036")
def test_the_ends_of_a_counter(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await command(store, "SET", f"holdfast:state:{service}:counter:a", "many")
            for verb in (store.counter.increment, store.counter.get):
                with pytest.raises(InvalidValue):
                    await verb("a")
            await store.counter.set("b", 2**63 - 1)
            with pytest.raises(InvalidValue):
                await store.counter.increment("b")
            assert await store.counter.get("b") == 2**63 - 1
            # Beyond what a double holds, a script still gives the exact sum.
            await store.counter.set("c", 2**60)
            assert await store.counter.increment("c", 1, ttl=60) == 2**60 + 1

    run(main())


@pytest.mark.row("D-188")
def test_a_default_time_to_live(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service, lambda b: b.with_default_ttl(60)) as store:
            await store.kv.set("a", 1)
            assert 59 < (await store.kv.remaining("a") or 0) <= 60
            await store.kv.set("a", 1, ttl=5)
            assert 4 < (await store.kv.remaining("a") or 0) <= 5
            await store.batch.set({"b": 1})
            assert 59 < (await store.kv.remaining("b") or 0) <= 60

    run(main())
