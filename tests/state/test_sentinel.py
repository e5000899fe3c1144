"""Three real sentinels, a primary and a replica: the adapter follows the primary."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.contract.errors import ConfigInvalid, ConnectionFailed, ReadOnly, StoreError
from holdfast.state import RedisAdapter, SentinelAdapter, build_store
from tests.servers.processes import LOOPBACK, free_port
from tests.servers.redis_groups import Watched, redis_sentinels
from tests.state.conftest import RedisServer, run


@pytest.fixture
def group() -> Iterator[Watched]:
    with redis_sentinels() as made:
        yield made


def url_of(group: Watched) -> str:
    hosts = ",".join(f"{LOOPBACK}:{one.port}" for one in group.sentinels)
    return f"redis+sentinel://{hosts}/main"


async def asked(server: RedisServer, *words: Any) -> Any:
    async with RedisAdapter.from_url(server.url) as adapter:
        return await adapter.client.send(words)


@pytest.mark.row("D-120")
def test_a_failover_is_followed(group: Watched, service: str) -> None:
    async def main() -> None:
        async with build_store(SentinelAdapter.from_url(url_of(group)), service) as store:
            assert await store.counter.increment("a") == 1
            await store._scene.adapter.client.send(("WAIT", 1, 1000))
            got: list[Any] = []
            subscription = await store.events.subscribe("a", lambda m: got.append(m.data))
            group.sentinels[0].crash()  # One of the three may be away.
            group.primary.crash()
            began = time.monotonic()
            while time.monotonic() - began < 30:
                try:
                    value = await store.counter.increment("a")
                    break
                except StoreError:
                    await asyncio.sleep(0.05)
            else:
                raise AssertionError("no primary was found again")
            assert value >= 2  # What was promised to the replica is there.
            for _ in range(400):
                if subscription.gaps:
                    break
                await asyncio.sleep(0.02)
            await store.events.publish("a", 1)
            for _ in range(200):
                if got:
                    break
                await asyncio.sleep(0.02)
            assert got == [1]

    run(main())


@pytest.mark.row("D-120")
def test_a_primary_that_is_demoted_is_left(
    redis: RedisServer, own_redis: RedisServer, service: str
) -> None:
    places = [own_redis.port, redis.port]

    class Moving(RedisAdapter):
        async def resolve(self) -> Any:
            from dataclasses import replace

            return replace(self.config, port=places[0])

    async def main() -> None:
        async with build_store(Moving.from_url(own_redis.url), service) as store:
            await store.kv.set("a", 1)
            # Demoted without closing its sockets.
            await asked(own_redis, "REPLICAOF", "127.0.0.1", redis.port)
            places.pop(0)
            with pytest.raises(ReadOnly):
                await store.kv.set("a", 2)
            await asyncio.sleep(0.01)
            assert await store.kv.set("a", 3)

    run(main())


def test_no_sentinel_knows() -> None:
    async def main() -> None:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/main"
        async with build_store(SentinelAdapter.from_url(url), "a") as store:
            with pytest.raises(ConnectionFailed, match="sentinel that knows"):
                await store.kv.get("a")

    run(main())
    for wrong in ("redis://h/main", "redis+sentinel://h", "redis+sentinel://h:x/main"):
        with pytest.raises(ConfigInvalid):
            SentinelAdapter.from_url(wrong)
    adapter = SentinelAdapter.from_url("redis+sentinel://u:secret@a,b:1/main?database=3")
    assert [(one.host, one.port) for one in adapter._sentinels] == [("a", 26379), ("b", 1)]
    assert (adapter.config.database, adapter.config.username) == (3, "u")
    assert "secret" not in repr(adapter)
