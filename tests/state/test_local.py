"""Values kept in the process: dropped on every change, never wrong, bounded."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import ConfigInvalid, StoreError
from holdfast.state import LocalRedisAdapter, RedisAdapter, ScopedStore, acl_rule, build_store
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.test_batch_scan import calls
from tests.state.test_connection import Proxy
from tests.state.test_events import until


def local(url: str, service: str, **limits: int) -> tuple[ScopedStore, LocalRedisAdapter]:
    config = RedisAdapter.from_url(url, timeout_s=1.0, backoff_max_s=0.1).config
    adapter = LocalRedisAdapter(config, prefixes=[f"holdfast:state:{service}:"], **limits)
    return build_store(adapter, service), adapter


async def listening(store: ScopedStore, adapter: LocalRedisAdapter) -> None:
    await store.kv.get("first")
    await until(lambda: adapter.local.live)


@pytest.mark.row("D-144")
def test_a_change_elsewhere_drops_the_value(redis: RedisServer, service: str) -> None:
    async def main() -> None:
        store, adapter = local(redis.url, service)
        async with store, opened(redis, service) as other:
            await listening(store, adapter)
            await other.kv.set("a", 1)
            for _ in range(10):
                assert await store.kv.get("a") == 1
            assert adapter.local.hits == 9
            await other.kv.set("a", 2)
            async with asyncio.timeout(0.1):
                while await store.kv.get("a") != 2:  # noqa: ASYNC110 - what is polled is tested
                    await asyncio.sleep(0.001)
            # One's own writes are seen at once.
            for n in range(50):
                await store.kv.set("a", n)
                assert await store.kv.get("a") == n
            # And so is the end of a time-to-live, without a word from the server.
            await other.kv.set("short", 1, ttl=0.15)
            assert await store.kv.get("short") == 1
            await asyncio.sleep(0.16)
            assert await store.kv.get("short") is None

    run(main())


def test_while_the_line_is_down_nothing_is_kept(redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with Proxy(redis.port) as proxy:
            store, adapter = local(proxy.url, service)
            async with store, opened(redis, service) as other:
                await other.kv.set("a", 0)
                await listening(store, adapter)
                assert await store.kv.get("a") == 0
                for n in range(1, 4):
                    proxy.cut()
                    await other.kv.set("a", n)
                    await until(lambda: not adapter.local.live or not len(adapter.local))
                    for _ in range(20):
                        try:
                            assert await store.kv.get("a") == n
                            break
                        except StoreError:
                            await asyncio.sleep(0.01)
                    await until(lambda: adapter.local.live)
                    assert await store.kv.get("a") == n
                    assert await store.kv.get("a") == n

    run(main())


def test_a_line_that_the_server_refuses_is_given_up(tmp_path: Path, service: str) -> None:
    server = RedisServer(tmp_path / "acl")
    server.start()

    async def main() -> None:
        async with opened(server, service) as owner:
            # Enough for values, and not for being told of changes.
            rule = acl_rule("app", service).replace("+client|tracking", "")
            await command(owner, "ACL", "SETUSER", *rule.split()[2:], ">word")
            url = server.url.replace("//", "//app:word@")
            config = RedisAdapter.from_url(url, backoff_max_s=0.05).config
            async with build_store(LocalRedisAdapter(config), service) as store:
                await store.kv.set("a", 1)
                for _ in range(10):
                    assert await store.kv.get("a") == 1
                    await asyncio.sleep(0.05)
                clients = await command(owner, "CLIENT", "LIST")
                assert clients.count(b"user=app") <= 3

    try:
        run(main())
    finally:
        server.kill()


@pytest.mark.row("D-159")
def test_what_acl_rule_allows_is_enough_to_be_told_of_changes(tmp_path: Path, service: str) -> None:
    server = RedisServer(tmp_path / "acl")
    server.start()

    async def main() -> None:
        async with opened(server, service) as owner:
            await command(owner, "ACL", "SETUSER", *acl_rule("app", service).split()[2:], ">word")
            store, adapter = local(server.url.replace("//", "//app:word@"), service)
            async with store:
                await listening(store, adapter)
                await owner.kv.set("a", 1)
                assert await store.kv.get("a") == 1
                await owner.kv.set("a", 2)
                await until(lambda: len(adapter.local) == 0)
                assert await store.kv.get("a") == 2

    try:
        run(main())
    finally:
        server.kill()


def test_a_read_that_a_change_overtakes_is_not_kept(redis: RedisServer, service: str) -> None:
    async def main() -> None:
        store, adapter = local(redis.url, service)
        async with store, opened(redis, service) as other:
            await listening(store, adapter)
            wrong = 0
            for n in range(300):
                reading = asyncio.create_task(store.kv.get("a"))
                await asyncio.sleep(0)
                await other.kv.set("a", n)
                await reading
                await asyncio.sleep(0.003)
                wrong += await store.kv.get("a") != n
            assert wrong == 0
            assert adapter.local._reading == {}

    run(main())


def test_many_values_are_asked_for_in_one_step(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        store, adapter = local(own_redis.url, service)
        async with store, opened(own_redis, service) as other:
            await listening(store, adapter)
            keys = [f"k{n}" for n in range(50)]
            await other.batch.set({key: key for key in keys})
            await asyncio.sleep(0.05)
            assert await store.batch.get([*keys, "none", "k1"]) == [*keys, None, "k1"]
            assert (await calls(other, "mget"), await calls(other, "get")) == (1, 1)
            # The second time only what is not kept is asked for.
            await other.kv.set("k1", "new")
            await until(lambda: len(adapter.local) == 49)
            assert (await store.batch.get(keys))[1] == "new"
            assert await store.batch.get(keys) == ["k0", "new", *keys[2:]]
            assert await calls(other, "mget") == 2

    run(main())


def test_it_is_bounded(redis: RedisServer, service: str) -> None:
    async def main() -> None:
        store, adapter = local(redis.url, service, items_max=10, bytes_max=5000)
        async with store:
            await listening(store, adapter)
            await store.batch.set({f"k{n}": "x" * 10 for n in range(50)})
            for n in range(50):
                await store.kv.get(f"k{n}")
            assert len(adapter.local) == 10
            await store.kv.set("large", "x" * 4500)
            await store.kv.get("large")
            assert len(adapter.local) < 10
            await store.kv.set("too large", "x" * 9000)
            await store.kv.get("too large")
            assert adapter.local._bytes <= 5000
            await store.batch.remove(["large", "too large"])
            assert await store.kv.get("large") is None

    run(main())
    wrong: list[dict[str, Any]] = [
        {"prefixes": "a:"}, {"prefixes": []}, {"items_max": 0}, {"bytes_max": 0},
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(ConfigInvalid):
            LocalRedisAdapter(RedisAdapter.from_url(redis.url).config, **arguments)
