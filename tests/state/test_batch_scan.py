"""batch, dev.scan and scopes on a real server and on a database."""

import asyncio
from typing import Any

import pytest

from holdfast.contract.errors import InvalidInput, InvalidValue, SerializationFailed
from holdfast.state import BatchEntry
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.places import Place


async def calls(store, name: str) -> int:  # type: ignore[no-untyped-def]
    """How often the server has run a command."""
    text = (await command(store, "INFO", "commandstats")).decode()
    line = next((line for line in text.splitlines() if f"cmdstat_{name}:" in line), "=0,")
    return int(line.partition("=")[2].partition(",")[0])


@pytest.mark.row("D-042", "D-044")
def test_batches(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            counted = ("exec", "mget", "mset") if isinstance(place, RedisServer) else ()
            before = {name: await calls(store, name) for name in counted}
            assert await store.batch.get([]) == []
            await store.batch.set([])
            await store.batch.set([BatchEntry("a", 1, 60), ("b", 2), BatchEntry("c", None)])
            assert await command(store, "PTTL", f"holdfast:state:{service}:kv:a") > 59_000
            assert await command(store, "PTTL", f"holdfast:state:{service}:kv:b") == -1
            assert await store.batch.get(["b", "none", "a", "b", "c"]) == [2, None, 1, 2, None]
            await store.batch.set({"x": 1, "y": 2})
            # Each was one round trip.
            assert {name: await calls(store, name) - before[name] for name in counted} == (
                dict.fromkeys(counted, 1)
            )
            assert await store.batch.remove(["x", "y", "x", "none"]) == 2
            # One that cannot be stored: nothing is.
            with pytest.raises(SerializationFailed):
                await store.batch.set({"ok": 1, "bad": object()})
            assert not await store.kv.exists("ok")
            with pytest.raises(InvalidInput):
                await store.batch.get(["k"] * 10_001)

    run(main())


@pytest.mark.row("D-044")
def test_a_batch_takes_the_entries_of_the_seed(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.batch.set([{"key": "a", "value": {"key": 1}, "ttl": 60}])
            given: list[Any] = [{"key": "b", "value": 2}, ("c", 3, 60), ["d", 4]]
            await store.batch.set(given)
            assert await store.batch.get(["a", "b", "c", "d"]) == [{"key": 1}, 2, 3, 4]
            assert await command(store, "PTTL", f"holdfast:state:{service}:kv:a") > 59_000
            assert await command(store, "PTTL", f"holdfast:state:{service}:kv:b") == -1
            wrong: list[Any] = [
                {"key": "x"}, {"key": "x", "value": 1, "expires": 5}, {1: 2}, ("x",), "xy", 5,
            ]  # fmt: skip
            for one in wrong:
                with pytest.raises(InvalidInput, match=r"batch\.set"):
                    await store.batch.set([("ok", 1), one])
            with pytest.raises(InvalidValue):
                await store.batch.set([("ok", 1), {"key": "x", "value": 1, "ttl": 0}])
            assert not await store.kv.exists("ok")

    run(main())


@pytest.mark.row("D-059", "D-060", "D-088", "trap 47")
def test_scans_see_their_scope_alone(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as root:
            one, twelve = root.scope("org", "org_1"), root.scope("org", "org_12")
            for number in range(25):
                await one.kv.set(f"health:service:{number}", {"status": "ok"}, ttl=15)
            await twelve.kv.set("health:service:x", 1)
            await root.kv.set("health:service:y", 1)
            await one.counter.increment("health:service:z")
            services = await one.dev.scan("health:service:*")
            assert len(services.keys) == 25
            for key in services.keys:
                assert await one.kv.get(key) == {"status": "ok"}
            assert (await root.dev.scan("*")).keys == ["health:service:y"]
            assert [key async for key in twelve.dev.iterate()] == ["health:service:x"]
            step = await one.dev.scan("*", cursor="0", count=1)
            assert step.cursor != "0"
            if isinstance(place, RedisServer):
                assert await command(root, "CONFIG", "GET", "maxmemory")

    run(main())


@pytest.mark.row("D-003", "D-081")
def test_services_and_tenants_are_apart(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as one, opened(place, service + "_b") as other:
            await one.kv.set("product:1:pricing", 5)
            assert await other.kv.get("product:1:pricing") is None
            a, b = one.scope("store_id", "a"), one.scope("store_id", "b")
            await a.kv.set("product:1:pricing", 7)
            assert await b.kv.get("product:1:pricing") is None
            assert await one.kv.get("product:1:pricing") == 5

    run(main())


@pytest.mark.row("D-190")
def test_areas_are_apart(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.kv.set("a", "value")
            await store.counter.increment("a")
            await store.claim.once("a", "me", ttl=5)
            await store.streams.append("a", {"n": 1})
            assert len(await command(store, "KEYS", f"holdfast:state:{service}:*:a")) == 4
            assert await store.kv.get("a") == "value"
            assert await store.counter.get("a") == 1

    run(main())


@pytest.mark.row("D-063")
def test_a_thousand_scopes_share_one_connection(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await asyncio.gather(*(store.scope("org", n).kv.set("a", n) for n in range(1000)))
            if store._scene.adapter.name == "redis":
                assert store._scene.adapter.client.connections_made == 1
            assert store.scope_chain == ()
            assert await store.scope("org", 7).kv.get("a") == 7

    run(main())
