"""What a server says no with: each its own error, nothing written, no password told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast.contract.batch import Batch, Delete, DeleteRange, Operation, Put
from holdfast.contract.errors import (
    ConfigInvalid,
    ConnectionFailed,
    FormatTooNew,
    NotADatabase,
    PermissionDenied,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreNotFound,
    Unauthenticated,
)
from holdfast.contract.record import Range
from tests.engines.redis.scene import linked, opened, put, redis_config, run, told, value
from tests.servers.processes import Server, free_port, redis_server

MARKER = "marker-of-a-password"


@pytest.fixture
def server() -> Iterator[Server]:
    """One of its own: what is done to it concerns all its databases."""
    with redis_server() as started:
        yield started


@pytest.mark.row("I-100")
def test_no_server_is_a_failed_connection() -> None:
    async def test() -> None:
        port = free_port()
        with pytest.raises(ConnectionFailed) as refused:
            async with opened(redis_config("a", port=port, password=MARKER)):
                raise AssertionError
        assert refused.value.code == "CONNECTION_FAILED"
        assert refused.value.details["address"] == f"127.0.0.1:{port}"
        assert MARKER not in f"{refused.value!r} {refused.value.details}"

    run(test)


def test_another_kind_of_server_is_told_from_redis(server: Server) -> None:
    async def test() -> None:
        async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(web, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionFailed, match="another protocol"):
                async with opened(redis_config("a", port=port)):
                    raise AssertionError

    run(test)


@pytest.mark.row("I-097")
def test_passwords_and_rights(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def refusal(kind: type[StoreError], **login: str) -> None:
        with pytest.raises(kind) as refused:
            async with opened(redis_config("a", port=server.port, **login)) as engine:
                await put(engine, b"a")
        assert MARKER not in f"{refused.value!r} {refused.value.details}"

    async def test() -> None:
        await refusal(Unauthenticated, password=MARKER)  # The server wants none.
        await told(server.port, "ACL", "SETUSER", "app", "on", f">{MARKER}", "~{a}:*", "&{a}:*",
                   "+@all", "-@dangerous", "+info")  # fmt: skip
        await told(server.port, "ACL", "SETUSER", "poor", "on", f">{MARKER}", "~{b}:*", "+@all")
        async with opened(redis_config("a", port=server.port, user="app", password=MARKER)) as good:
            await put(good, b"k", b"v")
            assert await value(good, b"k") == b"v"
            assert MARKER not in repr(good)
        await refusal(PermissionDenied, user="poor", password=MARKER)
        await refusal(Unauthenticated, user="app", password=MARKER + "x")
        await told(server.port, "CONFIG", "SET", "requirepass", MARKER)
        await refusal(Unauthenticated)

    run(test)
    assert MARKER not in caplog.text


def test_a_full_server_refuses_whole_and_takes_deletes(server: Server) -> None:
    async def test() -> None:
        config = redis_config("a", port=server.port)
        async with opened(config) as engine:
            await engine.commit(Batch([Put(b"a", bytes(100_000)), Put(b"b", b"1")]))
            await told(server.port, "CONFIG", "SET", "maxmemory", 1)
            refusals: list[list[Operation]] = [
                [Put(b"c", b"")],
                [Delete(b"b"), Put(b"c", bytes(100_000))],
            ]
            for refused in refusals:
                with pytest.raises(StorageFull, match="maxmemory"):
                    await engine.commit(Batch(refused))
            assert await engine.head() == 1
            assert [key for key, _ in (await engine.scan(Range())).rows] == [b"a", b"b"]
            await engine.commit(Batch([Delete(b"a"), Put(b"told", b"that it is gone")]))
            await engine.commit(Batch([DeleteRange(Range.prefix(b"b"))]))
            assert [key for key, _ in (await engine.scan(Range())).rows] == [b"told"]
            await told(server.port, "CONFIG", "SET", "maxmemory", 0)
            await put(engine, b"c")

    run(test)


def test_entries_are_deleted_from_a_full_server(server: Server) -> None:
    async def test() -> None:
        async with holdfast.open(redis_config("a", port=server.port), housekeeping=False) as db:
            await db.entries.set("a:1", "x" * 100_000)
            await told(server.port, "CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(StorageFull):
                await db.entries.set("a:2", 1)
            assert await db.entries.get("a:2") is None
            assert await db.entries.delete("a:1") is True
            assert await db.entries.get("a:1") is None
            await told(server.port, "CONFIG", "SET", "maxmemory", 0)
            assert await db.check() == []

    run(test)


def test_a_replica_is_read_and_not_written(server: Server) -> None:
    async def test() -> None:
        async with opened(redis_config("a", port=server.port)) as engine:
            await put(engine, b"a", b"1")
            with redis_server(appendfsync=None, replicaof=f"127.0.0.1 {server.port}") as replica:
                await linked(replica.port, server.port)
                with pytest.raises(ReadOnly, match="replica"):
                    async with opened(redis_config("a", port=replica.port)):
                        raise AssertionError
                read_only = redis_config("a", port=replica.port, read_only=True)
                async with opened(read_only) as reader:
                    assert await value(reader, b"a") == b"1"
                    assert reader.lineage == engine.lineage
                    waiting = reader.wait(1)
                    await put(engine, b"b")
                    assert await waiting == 2

    run(test)


def test_a_server_that_becomes_a_replica_takes_no_more_writes(server: Server) -> None:
    """Demoted without closing its sockets: nothing is acknowledged that would be thrown away."""

    async def test() -> None:
        with redis_server() as other:
            async with opened(redis_config("a", port=server.port)) as engine:
                await put(engine, b"a", b"1")
                await told(server.port, "REPLICAOF", "127.0.0.1", other.port)
                with pytest.raises(ReadOnly, match="replica"):
                    await put(engine, b"a", b"2")
                await told(server.port, "REPLICAOF", "NO", "ONE")

    run(test)


def test_a_database_that_was_flushed_away_is_not_made_anew_in_silence(server: Server) -> None:
    async def test() -> None:
        config = redis_config("a", port=server.port)
        async with opened(config) as engine:
            await put(engine, b"a", b"1")
            before = engine.lineage
            await told(server.port, "FLUSHALL")
            for call in (engine.read([b"a"]), put(engine, b"a"), engine.scan(Range())):
                with pytest.raises(StoreNotFound, match="gone"):
                    await call
        async with opened(config) as engine:
            assert await engine.head() == 0
            assert engine.lineage != before

    run(test)


def test_a_server_that_drops_data_to_make_room_is_refused(server: Server) -> None:
    async def test() -> None:
        await told(server.port, "CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        with pytest.raises(ConfigInvalid, match="noeviction"):
            async with opened(redis_config("a", port=server.port)):
                raise AssertionError

    run(test)


def test_keys_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    async def test() -> None:
        config = redis_config(tmp_path)
        for part, command in (("head", "SET"), ("database", "SET"), ("order", "SADD")):
            key = f"{{{config.prefix}}}:{part}"
            await told(config.port, command, key, "theirs")
            with pytest.raises(NotADatabase):
                async with opened(config):
                    raise AssertionError
            assert await told(config.port, "EXISTS", key) == 1
            await told(config.port, "DEL", key)

    run(test)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        config = redis_config(tmp_path)
        async with opened(config) as engine:
            await put(engine, b"a")
        await told(config.port, "HSET", f"{{{config.prefix}}}:database", "format", 99)
        for read_only in (False, True):
            with pytest.raises(FormatTooNew, match="99"):
                async with opened(redis_config(tmp_path, read_only=read_only)):
                    raise AssertionError

    run(test)


def test_there_is_no_database_of_that_number(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(ConfigInvalid, match="number"):
            async with opened(redis_config(tmp_path, database="4000")):
                raise AssertionError

    run(test)


def test_databases_of_one_server_are_apart(tmp_path: Path) -> None:
    async def test() -> None:
        here, there = redis_config(tmp_path), redis_config(tmp_path, database="3")
        async with opened(here) as one, opened(there) as two:
            await put(one, b"a", b"1")
            assert await value(two, b"a") is None
            assert one.lineage != two.lineage

    run(test)
