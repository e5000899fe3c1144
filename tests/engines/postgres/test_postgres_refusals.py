"""What a server says no with: each its own error, nothing written, no password told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import (
    ConfigInvalid,
    ConnectionFailed,
    FormatTooNew,
    NotADatabase,
    Overloaded,
    PermissionDenied,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreNotFound,
    Unauthenticated,
)
from holdfast.contract.record import Range
from holdfast.engines.postgres.failures import refusal
from tests.engines.postgres.scene import opened, postgres_config, put, run, told, value
from tests.servers.processes import Server, free_port, postgres_server

MARKER = "marker-of-a-password"


@pytest.fixture
def server() -> Iterator[Server]:
    """One of its own: what is done to it concerns all its databases."""
    with postgres_server(fsync="off", max_connections="20") as started:
        yield started


@pytest.mark.row("I-100")
def test_no_server_is_a_failed_connection() -> None:
    async def test() -> None:
        port = free_port()
        with pytest.raises(ConnectionFailed) as refused:
            async with opened(postgres_config("a", port=port, password=MARKER)):
                raise AssertionError
        assert refused.value.code == "CONNECTION_FAILED"
        assert refused.value.details["address"] == f"127.0.0.1:{port}"
        assert MARKER not in f"{refused.value!r} {refused.value.details}"

    run(test)


@pytest.mark.row("I-097")
def test_passwords_and_rights(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def refusal_of(kind: type[StoreError], **login: str | None) -> None:
        with pytest.raises(kind) as refused:
            async with opened(postgres_config("a", port=server.port, **login)) as engine:
                await put(engine, b"a")
        assert MARKER not in f"{refused.value!r} {refused.value.details}"

    async def test() -> None:
        await told(server.port, f"CREATE ROLE app LOGIN PASSWORD '{MARKER}'")
        await told(server.port, f"CREATE ROLE poor LOGIN PASSWORD '{MARKER}'")
        schema = postgres_config("a").schema
        await told(server.port, f"CREATE SCHEMA {schema} AUTHORIZATION app")
        hba = server.folder / "cluster" / "pg_hba.conf"
        hba.write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        await told(server.port, "SELECT pg_reload_conf()")
        config = postgres_config("a", port=server.port, user="app", password=MARKER)
        async with opened(config) as good:
            await put(good, b"k", b"v")
            assert await value(good, b"k") == b"v"
            assert MARKER not in repr(good)
        await refusal_of(Unauthenticated, user="app", password=MARKER + "x")
        await refusal_of(Unauthenticated, user="app", password=None)
        await refusal_of(Unauthenticated, user="nobody", password=MARKER)
        await refusal_of(PermissionDenied, user="poor", password=MARKER)
        await refusal_of(StoreNotFound, database="nowhere")

    run(test)
    assert MARKER not in caplog.text


def test_more_connections_than_the_server_takes(server: Server) -> None:
    async def test() -> None:
        others = [
            await psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=server.port, user="postgres", dbname="postgres"
            )
            for _ in range(20)
        ]
        with pytest.raises(Overloaded, match="max_connections"):
            async with opened(postgres_config("a", port=server.port)):
                raise AssertionError
        for other in others:
            await other.close()
        async with opened(postgres_config("a", port=server.port)) as engine:
            await put(engine, b"a")

    run(test)


def test_one_engine_takes_no_more_connections_than_it_may(server: Server) -> None:
    async def test() -> None:
        config = postgres_config("a", port=server.port, connections_max=3)
        async with opened(config) as engine:
            waiting = asyncio.create_task(engine.wait(await engine.head()))
            await asyncio.gather(
                *(engine.scan(Range()) for _ in range(200)),
                *(put(engine, b"k%d" % number) for number in range(200)),
            )
            await waiting
            counted = await told(
                server.port,
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast'",
            )
            assert counted[0][0] <= 3 + 2

    run(test)


def test_a_server_that_takes_no_writes_is_read(server: Server) -> None:
    async def test() -> None:
        config = postgres_config("a", port=server.port)
        async with opened(config) as engine:
            await put(engine, b"a", b"1")
            await told(server.port, "ALTER SYSTEM SET default_transaction_read_only = on")
            await told(server.port, "SELECT pg_reload_conf()")
            await asyncio.sleep(0.2)
            with pytest.raises(ReadOnly):
                await put(engine, b"a", b"2")
            assert await value(engine, b"a") == b"1"
            with pytest.raises(ReadOnly):
                async with opened(postgres_config("b", port=server.port)):
                    raise AssertionError

    run(test)


@pytest.mark.parametrize(
    ("state", "kind"),
    [("53100", StorageFull), ("53200", StorageFull), ("25006", ReadOnly),
     ("42501", PermissionDenied), ("XX001", StoreError)],
)  # fmt: skip
def test_codes_of_the_server_have_errors_of_their_own(state: str, kind: type[StoreError]) -> None:
    error = psycopg.errors.lookup(state)(f"words that quote {MARKER}")
    found = refusal(error, writing=True)
    assert isinstance(found, kind)
    assert found.__cause__ is error
    assert MARKER not in str(found)


def test_a_full_tablespace_refuses_one_and_not_its_neighbours(tmp_path: Path) -> None:
    """A batch that fails in the server takes the others of its group along: each is sent again."""

    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine:
            await told(
                config.port,
                f"""CREATE FUNCTION {config.schema}.full() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$""",
            )
            await told(
                config.port,
                f"""CREATE TRIGGER fills BEFORE INSERT ON {config.schema}.record FOR EACH ROW
                WHEN (new.key = 'big') EXECUTE FUNCTION {config.schema}.full()""",
            )
            tasks = [put(engine, key) for key in (b"a", b"b", b"big", b"c")]
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[2], StorageFull)
            assert [type(one) for one in found] == [int, int, StorageFull, int]
            assert [key for key, _ in (await engine.scan(Range())).rows] == [b"a", b"b", b"c"]
            await engine.commit(Batch([Delete(b"a")]))

    run(test)


def test_a_database_that_was_dropped_is_not_made_anew_in_silence(tmp_path: Path) -> None:
    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine:
            await put(engine, b"a", b"1")
            before = engine.lineage
            await told(config.port, f"DROP SCHEMA {config.schema} CASCADE")
            for call in (engine.read([b"a"]), put(engine, b"a"), engine.scan(Range())):
                with pytest.raises(StoreNotFound, match="gone"):
                    await call
        async with opened(config) as engine:
            assert await engine.head() == 0
            assert engine.lineage != before

    run(test)


def test_tables_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    async def test() -> None:
        config = postgres_config(tmp_path)
        await told(config.port, f"CREATE SCHEMA {config.schema}")
        await told(config.port, f"CREATE TABLE {config.schema}.head (mine integer)")
        with pytest.raises(NotADatabase):
            async with opened(config):
                raise AssertionError
        assert await told(config.port, f"SELECT * FROM {config.schema}.head") == []

    run(test)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        config = postgres_config(tmp_path)
        async with opened(config) as engine:
            await put(engine, b"a")
        await told(config.port, f"UPDATE {config.schema}.head SET format = 99")
        for read_only in (False, True):
            with pytest.raises(FormatTooNew, match="99"):
                async with opened(postgres_config(tmp_path, read_only=read_only)):
                    raise AssertionError

    run(test)


def test_full_durability_wants_a_server_that_flushes(server: Server) -> None:
    async def test() -> None:
        with pytest.raises(ConfigInvalid, match="fsync"):
            async with opened(postgres_config("a", port=server.port, durability="full")):
                raise AssertionError

    run(test)


@pytest.mark.parametrize("name", ['a "quoted" name', "a 'quote", "per%cent %s", "Grüße", "$$ $x$"])
def test_any_name_can_be_that_of_a_schema(name: str) -> None:
    async def test() -> None:
        async with opened(postgres_config("any", schema=name)) as engine:
            await put(engine, b"a", b"1")
            assert await value(engine, b"a") == b"1"
            assert (await engine.scan(Range())).rows
            assert await engine.check() == []
        async with opened(postgres_config("any", schema=name)) as engine:
            assert await engine.head() == 1

    run(test)


def test_keys_are_in_byte_order_whatever_the_language_of_the_server() -> None:
    """A collation would sort texts otherwise; keys are bytes."""

    async def test() -> None:
        keys = [bytes([a, b]) for a in range(0, 256, 5) for b in (0, 65, 97, 255)]
        async with opened(postgres_config("order")) as engine:
            await engine.commit(Batch([Put(key, b"") for key in reversed(keys)]))
            assert [key for key, _ in (await engine.scan(Range())).rows] == sorted(keys)

    run(test)
