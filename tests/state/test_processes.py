"""Many processes on one server: nothing lost, nothing given twice."""

import asyncio
from functools import partial

import pytest

from tests.state import workers
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.places import Place


@pytest.mark.row("D-034", "D-035", "D-039", "D-094", "trap 9", "trap 22")
def test_many_processes(place: Place, service: str) -> None:
    """They count up and down, want one claim, and show what may be shown three times.

    All in one go, because it takes longer to start so many than to let them work.
    """

    async def prepare() -> None:
        async with opened(place, service) as store:
            await store.counter.set("down", 5000)

    run(prepare())
    # Each commit of a database is flushed, so fewer of them are as hard on it.
    count = 100 if isinstance(place, RedisServer) else 50
    steps = 10_000 // count, 5_000 // count
    found = workers.run_in_processes(workers.one_of_many, count, place.url, service, *steps)
    # Each step gives a number that no other one gave.
    assert sorted(n for one in found for n in one.up) == list(range(1, 10_001))
    assert sorted(n for one in found for n in one.down) == list(range(5000))
    assert sum(one.claimed for one in found) == 1
    assert sum(one.shown for one in found) == 3

    async def left() -> int:
        async with opened(place, service) as store:
            key = f"holdfast:state:{service}:limiter:fixed:ad:1:user:2"
            return int(await command(store, "PTTL", key))

    assert 86_000_000 < run(left()) <= 86_400_000


@pytest.mark.row("D-004")
def test_a_thousand_clients(place: Place, service: str) -> None:
    # A handle of a database is a client, too, and its process opens the database once.
    clients = 100 if isinstance(place, RedisServer) else 30
    found = workers.run_in_processes(workers.many_clients, 10, place.url, service, clients)
    assert sum(won for won, _ in found) == 1

    async def total() -> int:
        async with opened(place, service) as store:
            return await store.counter.get("a")

    assert run(total()) == 10 * clients


@pytest.mark.row("D-082", "D-093", "D-192")
def test_a_flash_sale_never_sells_too_much(place: Place, service: str) -> None:
    async def stock(number: int | None = None) -> int:
        async with opened(place, service) as store:
            if number is not None:
                await store.counter.initialise("stock", number)
            return await store.counter.get("stock")

    run(stock(20))
    assert sum(workers.run_in_processes(workers.buys, 10, place.url, service, 50)) == 20
    assert run(stock()) == 0


@pytest.mark.row("D-083", "D-166")
def test_the_hundred_and_first_is_refused(place: Place, service: str) -> None:
    assert sum(workers.run_in_processes(workers.passes_limit, 10, place.url, service, 11)) == 100


def test_a_semaphore_over_processes(place: Place, service: str) -> None:
    found = workers.run_in_processes(workers.holds, 8, place.url, service, 3)
    assert max(found) <= 3


def forget(local: dict[str, int], _: object) -> None:
    local.clear()


@pytest.mark.row("D-095")
def test_fifty_listeners_hear_of_an_invalidation(place: Place, service: str) -> None:
    async def main() -> None:
        nodes = [opened(place, service) for _ in range(50)]
        caches: list[dict[str, int]] = [{"user": 1} for _ in nodes]
        stores = [await node.__aenter__() for node in nodes]
        for store, local in zip(stores, caches, strict=True):
            await store.events.subscribe("db:update:user", partial(forget, local))
        await stores[0].events.publish("db:update:user", {"id": 1})
        async with asyncio.timeout(20):
            while any(caches):  # noqa: ASYNC110 - the listeners are plain functions
                await asyncio.sleep(0.005)
        for node in nodes:
            await node.__aexit__(None, None, None)

    run(main())
