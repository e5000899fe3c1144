"""The way to the server: shared, in step, told when it breaks, restored."""

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import pytest

from holdfast.contract.errors import (
    ConfigInvalid,
    ConnectionFailed,
    ConnectionLost,
    OutcomeUnknown,
    Overloaded,
    PermissionDenied,
    ReadOnly,
    StorageFull,
    StoreClosed,
    StoreError,
    TimedOut,
    Unauthenticated,
)
from holdfast.state import BatchEntry, RedisAdapter, build_store
from holdfast.state.redis import subscriber as subscribing
from holdfast.state.redis.config import RedisConfig
from tests.needs import fork
from tests.servers.processes import free_port
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.operations import OPERATIONS
from tests.state.test_events import until

SECRET = "s3cret-marker"


class Proxy:
    """Between client and server: can hold replies back, cut them to pieces, and break off."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.open = asyncio.Event()
        self.open.set()
        self.piece = 1 << 16
        self.writers: list[asyncio.StreamWriter] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.cut()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        up, out = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(out)

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter, slow: bool) -> None:
            try:
                while data := await source.read(1 << 16):
                    if slow:
                        await self.open.wait()
                    for start in range(0, len(data), self.piece):
                        to.write(data[start : start + self.piece])
                        await to.drain()
                        if self.piece < 1 << 16:
                            await asyncio.sleep(0)
            except OSError:
                pass
            finally:
                to.close()

        await asyncio.gather(pump(reader, out, False), pump(up, writer, True))

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


def through(
    server: RedisServer,
    service: str,
    test: Callable[[Proxy, Any], Awaitable[None]],
    **settings: Any,
) -> None:
    async def main() -> None:
        async with Proxy(server.port) as proxy:
            store = build_store(RedisAdapter.from_url(proxy.url, **settings), service)
            async with store:
                await test(proxy, store)

    run(main())


@pytest.mark.row("trap 44")
def test_cancelled_callers_leave_the_connection_in_step(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        for n in range(100):
            await store.kv.set(f"k{n}", n)
        proxy.open.clear()
        doomed = [asyncio.create_task(store.kv.get(f"k{n}")) for n in range(50)]
        await asyncio.sleep(0.05)
        for task in doomed[::2]:
            task.cancel()
        proxy.open.set()
        got = await asyncio.gather(*doomed, return_exceptions=True)
        assert got[1::2] == list(range(1, 50, 2))
        assert await asyncio.gather(*(store.kv.get(f"k{n}") for n in range(100))) == list(
            range(100)
        )
        assert proxy.connections == 1

    through(redis, service, test)


@pytest.mark.row("trap 44")
def test_replies_in_pieces(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        proxy.piece = 3
        await store.batch.set({f"k{n}": "x" * n for n in range(60)})
        assert await store.batch.get([f"k{n}" for n in range(60)]) == ["x" * n for n in range(60)]

    through(redis, service, test)


@pytest.mark.row("D-108")
def test_what_was_in_flight_when_the_connection_broke(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        await store.kv.set("a", 1)
        proxy.open.clear()
        read = asyncio.create_task(store.kv.get("a"))
        write = asyncio.create_task(store.counter.increment("c"))
        await asyncio.sleep(0.05)
        proxy.cut()
        with pytest.raises(ConnectionLost) as lost:
            await read
        assert lost.value.retryable
        with pytest.raises(OutcomeUnknown) as unknown:
            await write
        assert isinstance(unknown.value.__cause__, OSError)
        assert unknown.value.details["operation"] == "increment"
        proxy.open.set()
        # It did happen here: only reading tells.
        assert await store.counter.get("c") == 1
        assert proxy.connections == 2

    through(redis, service, test)


def test_a_server_that_does_not_answer(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        await store.kv.set("a", 1)
        proxy.open.clear()
        began = time.monotonic()
        with pytest.raises(TimedOut):
            await store.kv.get("a")
        assert 0.2 < time.monotonic() - began < 20
        proxy.open.set()
        assert await store.kv.get("a") == 1

    through(redis, service, test, timeout_s=0.3)


def test_callers_wait_for_room_in_a_bounded_line(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        await store.kv.set("a", 1)
        proxy.open.clear()
        calls = [asyncio.create_task(store.kv.get("a")) for _ in range(30)]
        await asyncio.sleep(0.05)
        assert store._scene.adapter.client._link.in_flight == 4
        proxy.open.set()
        got = await asyncio.gather(*calls, return_exceptions=True)
        assert got.count(1) == 14  # Four on their way, ten in line.
        refused = [one for one in got if isinstance(one, Overloaded)]
        assert len(refused) == 16
        assert refused[0].details["limit"] == 10
        assert await store.kv.get("a") == 1

    through(redis, service, test, commands_max=4, callers_max=10)


def test_a_place_in_line_is_not_lost_with_who_had_it(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        await store.kv.set("a", 1)
        for _ in range(20):
            proxy.open.clear()
            calls = [asyncio.create_task(store.kv.get("a")) for _ in range(40)]
            await asyncio.sleep(0.005)
            proxy.open.set()
            # Some are cancelled while they wait, some when they have just been let go on.
            for _ in range(6):
                await asyncio.sleep(0)
                for call in calls[2::5]:
                    call.cancel()
            got = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
            assert {one for one in got if not isinstance(one, BaseException)} == {1}
            assert not store._scene.adapter.client._link._waiters

    through(redis, service, test, commands_max=2)


@pytest.mark.row("D-111")
def test_no_server_is_told_at_once(service: str) -> None:
    async def main() -> None:
        adapter = RedisAdapter.from_url(f"redis://u:{SECRET}@127.0.0.1:{free_port()}/0")
        async with build_store(adapter, service) as store:
            for _ in range(3):
                # At once: it neither waits for a time-out nor tries again meanwhile.
                with pytest.raises(ConnectionFailed) as caught:
                    await asyncio.wait_for(store.kv.get("a"), 2)
                assert caught.value.code == "CONNECTION_FAILED"
            with pytest.raises(ConnectionFailed):
                await store.events.subscribe("a", print)
            failures = await asyncio.gather(
                *(store.kv.get("a") for _ in range(100)), return_exceptions=True
            )
            assert all(isinstance(one, ConnectionFailed) for one in failures)
            assert SECRET not in repr(adapter) + repr(adapter.config) + repr(failures) + str(
                failures[0]
            )

    run(main())


@pytest.mark.row("D-133", "trap 44")
def test_a_restarted_server_is_found_again(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            got: list[Any] = []
            many = [f"c{n}" for n in range(200)]
            subscriptions = await asyncio.gather(
                *(store.events.subscribe(one, lambda m: got.append(m.data)) for one in many),
                store.events.subscribe("w:*", lambda m: got.append(m.data)),
            )
            await store.kv.set("a", 1)
            own_redis.kill()
            with pytest.raises(StoreError):
                await store.kv.get("a")
            await asyncio.to_thread(own_redis.start)
            await until(lambda: all(one.gaps for one in subscriptions), 10)
            assert await store.kv.get("a") == 1
            for one in (*many, "w:x"):
                await store.events.publish(one, one)
            await until(lambda: len(got) == 201)
            assert sorted(got) == sorted([*many, "w:x"])

    run(main())


def test_a_second_loss_while_subscriptions_are_restored(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        got: list[Any] = []
        many = [f"c{n}" for n in range(500)]
        subscriptions = await asyncio.gather(
            *(store.events.subscribe(one, lambda m: got.append(m.type)) for one in many)
        )
        for _ in range(3):
            proxy.piece = 7  # The confirmations trickle in.
            proxy.cut()
            await asyncio.sleep(0.07)
        proxy.piece = 1 << 16
        proxy.cut()
        await until(lambda: all(one.gaps for one in subscriptions), 10)
        subscriber = store._scene.adapter._connections.here().subscriber
        await until(lambda: subscriber._link is not None and not subscriber._link.lost)
        await subscriber._confirmed()
        for one in many:
            await store.events.publish(one, 1)
        await until(lambda: len(got) == 500)
        assert set(got) == set(many)

    through(redis, service, test)


def test_a_gap_is_told_when_another_caller_restores_the_connection(
    own_redis: RedisServer, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "BACKOFF_S", 1.0)

    async def main() -> None:
        async with opened(own_redis, service) as store:
            first = await store.events.subscribe("a", print)
            own_redis.kill()
            await asyncio.sleep(0.1)  # The upkeep has found nobody, and rests for a second.
            await asyncio.to_thread(own_redis.start)
            second = await store.events.subscribe("b", print)
            await until(lambda: first.gaps, 5)
            assert (first.gaps, second.gaps) == (1, 1)

    run(main())


def test_closing_while_a_subscription_connects(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        adapter = store._scene.adapter
        proxy.open.clear()
        doomed = asyncio.create_task(store.events.subscribe("a", print))
        await until(lambda: proxy.connections)
        subscriber = adapter._connections.here().subscriber
        await adapter.close()
        proxy.open.set()
        with pytest.raises(StoreClosed):
            await doomed
        assert subscriber._link is None

    through(redis, service, test)


def test_closing_while_a_read_that_blocks_connects(redis: RedisServer, service: str) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        adapter = store._scene.adapter
        group = store.streams.group("g", "c")
        await group.ensure("s")
        proxy.open.clear()
        doomed = asyncio.create_task(group.read("s", block=5))
        await until(lambda: proxy.connections == 2)
        await adapter.close()
        proxy.open.set()
        async with asyncio.timeout(1):
            with pytest.raises(StoreClosed):
                await doomed

    through(redis, service, test)


def test_links_of_reads_that_block_are_forgotten_when_they_are_lost(
    redis: RedisServer, service: str
) -> None:
    async def test(proxy: Proxy, store: Any) -> None:
        group = store.streams.group("g", "c")
        await group.ensure("s")
        reads = store._scene.adapter._connections.here().blocking
        for _ in range(5):
            assert await group.read("s", block=0.01) == []
            assert not reads._busy
            [link] = reads._idle
            link.abort()

    through(redis, service, test)


@pytest.mark.row("D-132", "D-159")
def test_passwords_and_rights(tmp_path: Path, service: str) -> None:
    server = RedisServer(tmp_path / "acl", ("--requirepass", SECRET))
    server.start()

    async def main() -> None:
        base = f"127.0.0.1:{server.port}"
        for url in (f"redis://{base}/0", f"redis://:wrong-{SECRET}@{base}/0"):
            async with build_store(RedisAdapter.from_url(url), service) as store:
                with pytest.raises(Unauthenticated) as caught:
                    await store.kv.get("a")
                assert SECRET not in str(caught.value) + repr(caught.value)
        async with build_store(
            RedisAdapter.from_url(f"redis://:{SECRET}@{base}/3"), service
        ) as store:
            await store.kv.set("a", 1)
            from holdfast.state.redis.acl import acl_rule

            rule = acl_rule("app", service, patterns=["a:*"])
            await command(store, "ACL", "SETUSER", *rule.split()[2:], f">{SECRET}2")
        user = RedisAdapter.from_url(f"redis://app:{SECRET}2@{base}/3")
        async with build_store(user, service) as store:
            assert await store.kv.get("a") == 1
            assert await store.counter.increment("c", ttl=5) == 1
            await (await store.events.subscribe("a", print))()
            await (await store.events.subscribe("a:*", print))()
            await store.streams.append("s", 1)
            assert (await store.dev.scan()).keys == ["a"]
            assert await store.claim.acquire("c")
            for name, work in OPERATIONS.items():
                if name != "group.consume":  # It goes on until it is stopped.
                    await work(store)
            with pytest.raises(PermissionDenied):
                await store.events.subscribe("b:*", print)
            with pytest.raises(PermissionDenied) as caught_2:
                await command(store, "GET", "foreign:key")
            assert "acl_rule" in str(caught_2.value)
            with pytest.raises(PermissionDenied):
                await command(store, "FLUSHALL")
        async with build_store(user.__class__(user.config), service + "2") as other:
            with pytest.raises(PermissionDenied):
                await other.kv.get("a")
            with pytest.raises(PermissionDenied):
                await other.events.subscribe("a", print)

    try:
        run(main())
    finally:
        server.kill()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder.mkdir()
    made, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


@pytest.mark.row("D-132")
def test_tls_and_a_password(tmp_path: Path, service: str) -> None:
    made, key = certificate(tmp_path / "tls")
    port = free_port()
    server = RedisServer(
        tmp_path / "server",
        ("--tls-port", str(port), "--tls-cert-file", str(made), "--tls-key-file", str(key),
         "--tls-ca-cert-file", str(made), "--tls-auth-clients", "no", "--requirepass", SECRET),
    )  # fmt: skip
    server.start()

    async def main() -> None:
        url = f"rediss://:{SECRET}@localhost:{port}/0?tls_ca={made}"
        async with build_store(RedisAdapter.from_url(url), service) as store:
            assert await store.counter.increment("a") == 1
            got: list[Any] = []
            await store.events.subscribe("a", got.append)
            await store.events.publish("a", 1)
            await until(lambda: got)
        # A certificate that nobody we trust has signed.
        untrusted = RedisAdapter.from_url(f"rediss://:{SECRET}@localhost:{port}/0")
        async with build_store(untrusted, service) as store:
            with pytest.raises(ConnectionFailed) as caught:
                await store.kv.get("a")
            assert SECRET not in repr(caught.value)
        # One who speaks plainly to a TLS port.
        plain = RedisAdapter.from_url(f"redis://:{SECRET}@localhost:{port}/0", connect_timeout_s=1)
        async with build_store(plain, service) as store:
            with pytest.raises(ConnectionFailed):
                await store.kv.get("a")
        with pytest.raises(ConfigInvalid):
            RedisConfig.from_url(f"rediss://h?tls_ca={key}.none").tls_context()

    try:
        run(main())
    finally:
        server.kill()


def test_a_full_server_says_so(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            await store.kv.set("a", 1)
            await command(store, "CONFIG", "SET", "maxmemory", "1")
            for work in (
                lambda: store.kv.set("b", 2),
                lambda: store.batch.set([BatchEntry("c", 1, 5), BatchEntry("d", 2, 5)]),
                lambda: store.counter.increment("n", ttl=5),
                lambda: store.streams.append("s", 1),
            ):
                with pytest.raises(StorageFull):
                    await work()
            assert await store.kv.get("a") == 1
            assert not await store.kv.exists("c")

    run(main())


def test_a_replica_and_a_server_without_replicas_say_so(
    own_redis: RedisServer, service: str
) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            await store.kv.set("a", 1)
            await command(store, "CONFIG", "SET", "min-replicas-to-write", "1")
            with pytest.raises(ConnectionFailed, match="replicas"):
                await store.kv.set("a", 2)
            await command(store, "CONFIG", "SET", "min-replicas-to-write", "0")
            await command(store, "REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(ReadOnly, match="connect to the primary"):
                await store.kv.set("a", 2)
            # The next one does not meet the connection that is given up.
            with pytest.raises(ReadOnly):
                await store.counter.increment("n", ttl=5)
            with pytest.raises(ReadOnly):
                await store.bloom.create("b", 10)
            assert await store.kv.get("a") == 1

    run(main())


def test_a_read_that_waits_on_a_server_that_becomes_a_replica(
    own_redis: RedisServer, service: str
) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            group = store.streams.group("g", "c")
            await group.ensure("s")
            waiting = asyncio.create_task(group.read("s", block=20))
            blocked = ("CLIENT", "LIST")
            for _ in range(500):
                if b"cmd=xreadgroup" in await command(store, *blocked):
                    break
                await asyncio.sleep(0.01)
            await command(store, "REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(ConnectionFailed, match="became a replica"):
                await waiting

    run(main())


def test_a_server_that_loads_its_data_says_so(own_redis: RedisServer, service: str) -> None:
    async def fill() -> None:
        async with opened(own_redis, service) as store:
            # With a time-to-live each is a command of its own, also in the server's file.
            await store.batch.set([BatchEntry(f"k{n}", n, 3600) for n in range(8000)])

    async def main() -> None:
        async with opened(own_redis, service) as store:
            with pytest.raises(ConnectionFailed, match="loads its data") as caught:
                await store.kv.get("k1")
            assert caught.value.retryable
            # Ready after a while, and the same store goes on.
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert await store.kv.get("k1") == 1
                        return
                    except ConnectionFailed:
                        await asyncio.sleep(0.05)

    run(fill())
    own_redis.kill()
    # So slow that somebody comes meanwhile: a pause for each value, in microseconds.
    own_redis.options += ("--key-load-delay", "100")
    own_redis.start(ready=False)
    run(main())


def test_scripts_that_the_server_forgot(redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(redis, service) as store:
            for n in range(3):
                await command(store, "SCRIPT", "FLUSH")
                sums = await asyncio.gather(
                    *(store.counter.increment("c", ttl=60) for _ in range(20))
                )
                assert sorted(sums) == list(range(n * 20 + 1, n * 20 + 21))

    run(main())


def test_each_loop_has_a_connection_of_its_own(redis: RedisServer, service: str) -> None:
    store = build_store(RedisAdapter.from_url(redis.url), service)

    async def use(n: int) -> int:
        return await store.counter.increment("a")

    assert [asyncio.run(use(n)) for n in range(3)] == [1, 2, 3]

    async def end() -> None:
        await store.close()
        with pytest.raises(StoreClosed):
            await store.kv.get("a")

    asyncio.run(end())


@fork
def test_a_forked_child_does_not_use_its_parents_socket(redis: RedisServer, service: str) -> None:
    store = build_store(RedisAdapter.from_url(redis.url), service)

    async def main() -> int:
        assert await store.counter.increment("a") == 1
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            # A loop of its own, because the parent's is not the child's to run.
            asyncio._set_running_loop(None)
            try:
                os.write(write, str(asyncio.run(store.counter.increment("a"))).encode())
            finally:
                os._exit(0)
        os.close(write)
        answer = await asyncio.to_thread(os.read, read, 10)
        os.close(read)
        await asyncio.to_thread(os.waitpid, child, 0)
        assert answer == b"2"
        return await store.counter.increment("a")

    assert asyncio.run(main()) == 3


@pytest.mark.parametrize(
    "url",
    ["http://localhost", "redis://localhost/x", "redis://localhost?nope=1", "redis://h:99999999",
     "redis://localhost?timeout_s=-1", "redis://localhost?commands_max=x", "redis://localhost#a",
     ""],
)  # fmt: skip
def test_urls_that_cannot_be_read(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        RedisConfig.from_url(url)


@pytest.mark.row("D-132")
def test_urls_and_what_is_printed_of_them() -> None:
    config = RedisConfig.from_url(f"rediss://app:{SECRET}%40@r.example.org:6380/2?timeout_s=1.5")
    assert (config.host, config.port, config.database, config.tls) == (
        "r.example.org",
        6380,
        2,
        True,
    )
    assert (config.username, config.password, config.timeout_s) == ("app", SECRET + "@", 1.5)
    assert str(config) == "rediss://app:***@r.example.org:6380/2"
    assert SECRET not in repr(config) + str(config)
    assert RedisConfig.from_url("unix:///run/redis.sock?database=1").path == "/run/redis.sock"


def test_a_unix_socket(tmp_path: Path, service: str) -> None:
    server = RedisServer(tmp_path / "u", ("--unixsocket", str(tmp_path / "r.sock")))
    server.start()

    async def main() -> None:
        adapter = RedisAdapter.from_url(f"unix://{tmp_path / 'r.sock'}")
        async with build_store(adapter, service) as store:
            assert await store.counter.increment("a") == 1

    try:
        run(main())
    finally:
        server.kill()


def test_a_loop_that_ends_takes_its_connections_along(redis: RedisServer, service: str) -> None:
    adapter = RedisAdapter.from_url(redis.url)
    store = build_store(adapter, service)

    async def use() -> None:
        await store.events.subscribe("a", print)
        await store.streams.group("g", "c").ensure("s")
        await store.streams.group("g", "c").read("s", block=0.01)

    for _ in range(3):
        asyncio.run(use())
        store._hub.subscriptions.clear()
    # No socket is left (an unclosed one would be a warning, and so an error), and no loop either.
    assert len(adapter._connections._by_loop) == 0
