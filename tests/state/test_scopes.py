"""Scopes as tenants: purged to the last key, pinned to a place; schemas that change; sizes."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast
from holdfast.contract.errors import InvalidInput
from holdfast.state import (
    AdaptiveSerializer,
    MockStoreAdapter,
    RedisAdapter,
    ScopedStore,
    SeedAdapter,
    StoreAdapter,
    StoreBuilder,
    build_store,
    check_compatible,
)
from holdfast.state.adapter import BatchWrite, StateAdapter
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.places import Place


async def fill(store: ScopedStore) -> None:
    for n in range(30):
        await store.kv.set(f"a:{n}", n)
    await store.counter.increment("a")
    await store.claim.acquire("a")
    await store.streams.append("a", 1)
    await store.limiter.fixed("a", 5, 60)
    await store.semaphore.acquire("a", 1)
    await store.presence.mark("a", "me")
    await store.cached(ttl=60, key="a", tags=["t"])(lambda: 1)()
    await store.cache.invalidate("t")


@pytest.mark.row("D-126", "D-168", "trap 47")
@pytest.mark.parametrize("hash_tags", ["none", "scope"])
def test_purging_a_tenant(place: Place, service: str, hash_tags: Any) -> None:
    async def main() -> None:
        async with opened(place, service, lambda b: b.with_hash_tags(hash_tags)) as store:
            one, twelve = store.scope("org", "org_1"), store.scope("org", "org_12")
            below = one.scope("ws", "kv")
            for tenant in (one, twelve, below):
                await fill(tenant)
            await store.kv.set("org:org_1:kv:a", "not theirs")

            async def keys() -> set[bytes]:
                return set(await command(store, "KEYS", f"*{service}*"))

            def theirs(key: bytes) -> bool:
                return b":org:org_1" in key and b"org_12" not in key and b"kv:org:" not in key

            before = await keys()
            assert len([key for key in before if theirs(key)]) > 70
            report = await one.purge_scope(steps=1)
            while report.cursor != "0":
                report = await one.purge_scope(cursor=report.cursor, steps=1)
            after = await keys()
            assert not [key for key in after if theirs(key)]
            assert {key for key in before if not theirs(key)} <= after
            assert await store.kv.get("org:org_1:kv:a") == "not theirs"
            [record] = await store.streams.tail("purges")
            assert record.id == report.record
            assert record.message["scope"] == [["org", "org_1"]]
            await fill(one)
            report = await one.purge_scope()
            assert report.removed == {
                "kv": 30, "counter": 1, "claim": 1, "fence": 1, "streams": 1, "limiter": 1,
                "semaphore": 1, "presence": 1, "cache": 1, "tag": 1,
            }  # fmt: skip
            assert report.total == 39
            with pytest.raises(InvalidInput):
                await store.purge_scope()

    run(main())


@pytest.mark.row("D-152", "D-168")
def test_a_region_is_kept_in_its_place(redis: RedisServer, tmp_path: Path, service: str) -> None:
    europe = RedisServer(tmp_path / "eu")
    europe.start()

    async def main() -> None:
        here, there = (RedisAdapter.from_url(one.url) for one in (redis, europe))
        builder = StoreBuilder.create().with_adapter(here).with_service(service)
        store = builder.with_pinned_scope("region", "eu", there).build()
        await store.scope("region", "eu").scope("org", 1).kv.set("a", "eu")
        await store.scope("region", "us").scope("org", 1).kv.set("a", "us")
        assert len(await here.client.send(("KEYS", f"*{service}*eu*"))) == 0
        assert len(await there.client.send(("KEYS", f"*{service}*"))) == 1
        assert await store.scope("region", "eu").scope("org", 1).kv.get("a") == "eu"
        await store.close()

    try:
        run(main())
    finally:
        europe.kill()


@pytest.mark.row("D-152")
def test_a_region_is_kept_in_its_database(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            holdfast.open(f"lmdb:///{tmp_path}/us") as here,
            holdfast.open(f"lmdb:///{tmp_path}/eu") as there,
        ):
            builder = StoreBuilder.create().with_adapter(here).with_service("api")
            store = builder.with_pinned_scope("region", "eu", there).build()
            europe = store.scope("region", "eu").scope("org", 1)
            await europe.kv.set("a", "eu")
            await store.scope("region", "us").scope("org", 1).kv.set("a", "us")
            found = [(await db.state_adapter().scan("*", "0", 100)).keys for db in (here, there)]
            assert found == [
                ["holdfast:state:api:region:us:org:1:kv:a"],
                ["holdfast:state:api:region:eu:org:1:kv:a"],
            ]
            assert await europe.kv.get("a") == "eu"
            await store.close()

    run(main())


class V1(msgspec.Struct):
    id: int
    note: str = ""


class Wider(msgspec.Struct):
    id: int | str
    note: str = ""
    more: int = 0


class Lost(msgspec.Struct):
    note: str = ""


class Demands(msgspec.Struct):
    id: int
    more: int
    note: str = ""


class Narrower(msgspec.Struct):
    id: str
    note: str = ""


@pytest.mark.row("D-153")
def test_changes_of_a_schema() -> None:
    assert check_compatible(V1, V1) == []
    assert check_compatible(V1, Wider) == []
    assert "is gone" in check_compatible(V1, Lost)[0]
    assert "is required now" in check_compatible(V1, Demands)[0]
    assert "no longer takes integer" in check_compatible(V1, Narrower)[0]
    nested = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}}
    other = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    assert check_compatible(nested, other) == ["$.a[] no longer takes number"]
    assert check_compatible(other, nested) == []
    with pytest.raises(InvalidInput):
        check_compatible(V1, print)


@pytest.mark.row("D-141")
def test_the_format_follows_the_size() -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        store = build_store(adapter, "api", serializer=AdaptiveSerializer())
        large = {"text": "x" * 2000, "n": [1.5, None]}
        await store.kv.set("small", {"a": 1})
        await store.kv.set("large", large)
        await store.kv.set("bytes", b"\0\xff")
        assert adapter._kept["holdfast:state:api:kv:small"].value == b'{"a":1}'
        assert adapter._kept["holdfast:state:api:kv:large"].value[:1] == b"\xc1"
        got = [await store.kv.get(key) for key in ("small", "large", "bytes")]
        assert got == [{"a": 1}, large, b"\0\xff"]

    asyncio.run(main())


@pytest.mark.row("D-145", "D-146", "D-147", "D-150")
@pytest.mark.parametrize("kind", ["redis", "mock", "memory"])
def test_the_seeds_adapter_contract(redis: RedisServer, service: str, kind: str) -> None:
    members = {
        "client", "get", "set", "delete", "has", "increment", "expire", "set_nx", "mget", "mset",
        "publish", "subscribe", "unsubscribe", "scan", "xadd", "xgroup_create", "xreadgroup",
        "xack",
    }  # fmt: skip
    assert {name for name in vars(StoreAdapter) if not name.startswith("_")} == members
    assert {name for name in vars(SeedAdapter) if not name.startswith("_")} == members

    async def main() -> None:
        db = await holdfast.open("memory://")
        below: StateAdapter = (
            RedisAdapter.from_url(redis.url)
            if kind == "redis"
            else MockStoreAdapter()
            if kind == "mock"
            else db.state_adapter()
        )
        adapter: StoreAdapter = SeedAdapter(below)
        a, s = f"{service}:{kind}:a", f"{service}:{kind}:s"
        await adapter.set(a, b"null", ttl=60)
        assert await adapter.get(a) == b"null"
        assert await adapter.has(a)
        assert not await adapter.set_nx(a, b"1")
        await adapter.expire(a, 5)
        await adapter.delete(a)
        assert await adapter.increment(a) == 1
        assert await adapter.increment(a, -3) == -2
        await adapter.mset([BatchWrite(a, b"1"), BatchWrite(s + "b", b"2", 5000)])
        await adapter.mset([])
        assert await adapter.mget([a, s + "b", s]) == [b"1", b"2", None]
        assert await adapter.mget([]) == []
        got: list[bytes] = []

        def listen(_: str, data: bytes) -> None:
            got.append(data)

        await adapter.subscribe(a, listen)
        await adapter.subscribe(a, listen)
        await adapter.subscribe(a, lambda _, data: got.append(data))
        await adapter.publish(a, b"m")
        await asyncio.sleep(0.05)
        assert got == [b"m", b"m"]
        await adapter.unsubscribe(a, listen)
        await adapter.publish(a, b"n")
        await asyncio.sleep(0.05)
        assert got == [b"m", b"m", b"n"]
        await adapter.unsubscribe(a)
        await adapter.unsubscribe(a)
        await adapter.xgroup_create(s, "g")
        await adapter.xgroup_create(s, "g")
        id = await adapter.xadd(s, b"1", max_len=10)
        [message] = await adapter.xreadgroup(s, "g", "c", block=1)
        assert (message.id, message.data) == (id, b"1")
        await adapter.xack(s, "g", [id])
        await adapter.xack(s, "g", [])
        assert (await adapter.scan(a, count=10_000)).keys == [a]
        assert (adapter.client is None) == (kind == "mock")
        await below.close()
        await db.close()

    run(main())
