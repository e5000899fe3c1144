"""A database of format 1, as the version that made it left it: refused, upgraded, rotated."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import psycopg
import pytest

import holdfast
import holdfast.sync
from holdfast.cli import exits, main
from holdfast.contract.batch import Batch, Put, Rewrite
from holdfast.contract.errors import (
    ConnectionLost,
    FormatTooNew,
    PermissionDenied,
    ReadOnly,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.formats import Formats
from holdfast.contract.record import Range
from holdfast.engines.postgres import PostgresConfig, PostgresEngine, formats, statements
from holdfast.runtime.system import system_components
from tests.engines.postgres.scene import opened, postgres_config, run, told, value

SAMPLES = Path(__file__).parents[2] / "samples"
UPGRADED = Formats(1, 2, (2,))
NOTHING_TO_DO = Formats(2, 2)


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """The keys of the sample, in a file that only we may read."""
    file = tmp_path / "keys"
    shutil.copy(SAMPLES / "format-1-postgres.keys", file)
    file.chmod(0o600)
    return f"file:{file}"


async def sample(name: object) -> PostgresConfig:
    """The sample in a schema of its own."""
    config = postgres_config(name)
    text = (SAMPLES / "format-1-postgres.sql").read_text()
    await told(config.port, f"CREATE SCHEMA {config.schema}")
    await told(config.port, text.replace("{schema}", f'"{config.schema}"'))
    return config


def url_of(config: PostgresConfig) -> str:
    return f"postgres://postgres@127.0.0.1:{config.port}/postgres?schema={config.schema}"


async def format_of(config: PostgresConfig) -> int:
    [(found,)] = await told(config.port, f"SELECT format FROM {config.schema}.head")
    return int(found)


async def knows_rewrites(config: PostgresConfig) -> bool:
    [(source,)] = await told(
        config.port,
        "SELECT prosrc FROM pg_proc JOIN pg_namespace ON pronamespace = pg_namespace.oid "
        f"WHERE nspname = '{config.schema}' AND proname = 'commit_batch'",
    )
    return "kind = 'w'" in source


async def records(config: PostgresConfig) -> list[tuple[bytes, bytes, int]]:
    return await told(config.port, f"SELECT * FROM {config.schema}.record ORDER BY key")


def test_format_1_passes_over_a_rewrite_and_is_refused_with_the_command(tmp_path: Path) -> None:
    async def test() -> None:
        config = await sample(tmp_path)
        for read_only in (False, True):
            with pytest.raises(Unsupported, match=r"`holdfast upgrade postgres://") as refused:
                async with opened(postgres_config(tmp_path, read_only=read_only)):
                    raise AssertionError
            assert refused.value.details["found"] == 1
            assert refused.value.details["supported"] == 2
        # Why: what the version that made it would have done there.
        [key] = [key for key, _, revision in await records(config) if revision == 9][:1]
        before = await records(config)
        await told(
            config.port,
            f"SELECT {config.schema}.commit_batch(lineage, NULL, 0, NULL, 0, false, 'w', "
            f"ARRAY[%s]::bytea[], ARRAY[NULL]::bytea[], ARRAY['anew']::bytea[], "
            f"ARRAY[NULL]::bigint[], ARRAY[NULL]::bigint[]) FROM {config.schema}.head",
            (key,),
        )
        assert await records(config) == before

    run(test)


def test_an_upgraded_database_is_whole_and_its_keys_are_rotated(tmp_path: Path, keys: str) -> None:
    async def test() -> None:
        config = await sample(tmp_path)
        before = await records(config)
        seen: list[tuple[str, int]] = []
        looked = await holdfast.upgrade(config, dry_run=True)
        assert (looked.engine, looked.rows, looked.changes) == (UPGRADED, None, True)
        assert await format_of(config) == 1
        assert not await knows_rewrites(config)

        done = await holdfast.upgrade(config, progress=lambda *step: seen.append(step))
        assert (done.engine, done.rows) == (UPGRADED, Formats(2, 2))
        assert seen == [("engine", 2)]
        assert await records(config) == before, "an upgrade changes no row"
        again = await holdfast.upgrade(config, progress=lambda *step: seen.append(step))
        assert (again.engine, again.changes, len(seen)) == (NOTHING_TO_DO, False, 1)

        async with holdfast.open(config, encryption=keys, housekeeping=False) as db:
            found = {str(one.key): one.value async for one in db.entries.items("#")}
            assert found == {"cities:0": {"n": 0}, "cities:1": {"n": "again"}}
            assert (await (await db.stores.get("ledger")).get(b"balance")) == b"100"
            assert await db.check() == []
            await db.data_keys.rotate()
            await db.data_keys.forget()
        after = await records(config)
        rotated = {key: value for key, value, _ in after}
        same = [key for key, value, _ in before if rotated.get(key) == value]
        plain = [key for key, value, _ in before if key == b"Sformat" or not value]
        assert same == plain, "every row that has a secret is written anew"
        assert len(plain) < len(before) / 3
        async with holdfast.open(config, encryption=keys, housekeeping=False) as db:
            entry = await db.entries.require("cities:1")
            assert (entry.value, entry.metadata.tags) == ({"n": "again"}, ["capital"])
            assert await db.check() == []

    run(test)


def test_two_at_once_and_without_a_loop(tmp_path: Path) -> None:
    configs: list[PostgresConfig] = []

    async def test() -> None:
        configs.append(await sample(tmp_path))
        found = await asyncio.gather(*(holdfast.upgrade(configs[0]) for _ in range(6)))
        assert sorted(one.engine.found for one in found) == [1, 2, 2, 2, 2, 2]
        configs.append(await sample(tmp_path / "another"))

    run(test)
    assert holdfast.sync.upgrade(configs[1]).engine == UPGRADED
    assert holdfast.sync.upgrade(configs[1]).engine == NOTHING_TO_DO


def test_killed_half_way_nothing_is_changed(tmp_path: Path) -> None:
    """The functions are replaced, and the format is not noted yet: then the process is killed."""

    async def test() -> None:
        config = await sample(tmp_path)
        async with await psycopg.AsyncConnection.connect(
            host="127.0.0.1", port=config.port, user="postgres", dbname="postgres"
        ) as other:
            await other.execute(f"SELECT {config.schema}.take_turn()")
            [(pid,)] = await (await other.execute("SELECT pg_backend_pid()")).fetchall()
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "holdfast", "upgrade", url_of(config)
            )
            blocked = f"SELECT pid FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))"
            try:
                while not await told(config.port, blocked):
                    assert child.returncode is None, "it ended without waiting for its turn"
                    await asyncio.sleep(0.05)
            finally:
                child.kill()
                await child.wait()
        # The turn is free now: the server goes on for nobody, and takes it all back.
        assert await format_of(config) == 1
        assert not await knows_rewrites(config)
        assert (await holdfast.upgrade(config)).engine == UPGRADED
        assert await knows_rewrites(config)

    run(test)


def test_what_handles_of_the_older_version_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go on with the new functions, which do all that the old ones did."""

    async def test() -> None:
        config = await sample(tmp_path)
        with monkeypatch.context() as older:
            older.setattr(formats, "FORMAT", 1)
            engine = PostgresEngine(config, system_components())
            await engine.open()
        stop = asyncio.Event()

        async def write() -> list[int]:
            revisions: list[int] = []
            while not stop.is_set():
                receipt = await engine.commit(Batch([Put(b"old", b"%d" % len(revisions))]))
                revisions.append(receipt.revision)
            return revisions

        try:
            writing = asyncio.create_task(write())
            await asyncio.sleep(0.05)
            assert (await holdfast.upgrade(config)).engine == UPGRADED
            await asyncio.sleep(0.05)
            stop.set()
            revisions = await writing
            assert revisions == list(range(10, 10 + len(revisions)))
            async with opened(config) as newer:
                await newer.commit(Batch([Rewrite(b"old", b"anew")]))
                assert await value(newer, b"old") == b"anew"
                [(_, record)] = (await newer.scan(Range(b"old", b"old\0"))).rows
                assert record.revision == revisions[-1]
            assert await value(engine, b"old") == b"anew"
        finally:
            await engine.close()
        # Once it connects anew, the older version is refused.
        monkeypatch.setattr(formats, "FORMAT", 1)
        with pytest.raises(FormatTooNew, match="update Holdfast"):
            async with opened(config):
                raise AssertionError

    run(test)


def test_what_cannot_be_upgraded(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(StoreNotFound):
            await holdfast.upgrade(postgres_config(tmp_path))
        config = await sample(tmp_path)
        with pytest.raises(ReadOnly, match="without"):
            await holdfast.upgrade(postgres_config(tmp_path, read_only=True))
        assert await format_of(config) == 1
        assert not await knows_rewrites(config)
        await told(config.port, f"UPDATE {config.schema}.head SET format = 3")
        with pytest.raises(FormatTooNew, match="update Holdfast"):
            await holdfast.upgrade(config)
        assert not await knows_rewrites(config)

    run(test)


def test_a_turn_that_never_comes_changes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        config = await sample(tmp_path)
        impatient = postgres_config(tmp_path, answer_timeout=0.2)
        async with await psycopg.AsyncConnection.connect(
            host="127.0.0.1", port=config.port, user="postgres", dbname="postgres"
        ) as other:
            await other.execute(f"SELECT {config.schema}.take_turn()")
            with pytest.raises(ConnectionLost, match="Upgrade it again"):
                await holdfast.upgrade(impatient)
            assert await format_of(config) == 1
        assert not await knows_rewrites(config)
        assert (await holdfast.upgrade(config)).engine == UPGRADED

    run(test)


def test_who_did_not_make_the_functions_may_not_replace_them(tmp_path: Path) -> None:
    async def test() -> None:
        config = await sample(tmp_path)
        role = f"role_{config.schema}"
        await told(config.port, f"CREATE ROLE {role} LOGIN")
        try:
            await told(config.port, f"GRANT ALL ON SCHEMA {config.schema} TO {role}")
            await told(config.port, f"GRANT ALL ON ALL TABLES IN SCHEMA {config.schema} TO {role}")
            with pytest.raises(PermissionDenied):
                await holdfast.upgrade(postgres_config(tmp_path, user=role))
            assert await format_of(config) == 1
        finally:
            await told(config.port, f"DROP OWNED BY {role}")
            await told(config.port, f"DROP ROLE {role}")

    run(test)


def test_progress_that_raises_comes_after_the_step(tmp_path: Path) -> None:
    def broken(part: str, format: int) -> None:
        raise StopIteration(part, format)

    configs: list[PostgresConfig] = []

    async def test() -> None:
        configs.append(await sample(tmp_path))

    run(test)
    with pytest.raises((StopIteration, RuntimeError)):
        holdfast.sync.upgrade(configs[0], progress=broken)
    assert holdfast.sync.upgrade(configs[0]).engine == NOTHING_TO_DO


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs: list[PostgresConfig] = []

    async def test() -> None:
        configs.append(await sample(tmp_path))

    run(test)
    url = url_of(configs[0])
    assert main(["get", "cities:0", "--url", url]) == exits.USAGE
    assert "holdfast upgrade" in capsys.readouterr().err
    assert main(["upgrade", url, "--dry-run"]) == exits.OK
    assert capsys.readouterr().out.splitlines() == [
        "engine: format 1 -> 2, to be done",
        "rows: looked at once the engine is upgraded",
    ]
    assert main(["upgrade", url]) == exits.OK
    told_of = capsys.readouterr()
    assert told_of.out.splitlines() == [
        "engine: format 1 -> 2, done",
        "rows: format 2 is what this version writes; nothing to do",
    ]
    assert told_of.err == "engine: format 2 reached\n"
    assert main(["upgrade", url, "--json"]) == exits.OK
    assert '"steps":[]' in capsys.readouterr().out


def test_the_upgraded_functions_are_those_of_a_new_database(tmp_path: Path) -> None:
    async def sources(config: PostgresConfig) -> list[tuple[str, str]]:
        found = await told(
            config.port,
            "SELECT proname, pg_get_functiondef(pg_proc.oid) FROM pg_proc "
            f"JOIN pg_namespace ON pronamespace = pg_namespace.oid "
            f"WHERE nspname = '{config.schema}' ORDER BY proname",
        )
        return [(name, text.replace(config.schema, "schema")) for name, text in found]

    async def test() -> None:
        config = await sample(tmp_path)
        await holdfast.upgrade(config)
        new = postgres_config(tmp_path / "new")
        async with opened(new):
            pass
        upgraded, made = await sources(config), await sources(new)
        assert [name for name, _ in made] == ["commit_batch", "take_turn"]
        assert [(name, text.replace('"', "")) for name, text in upgraded] == [
            (name, text.replace('"', "")) for name, text in made
        ]
        assert statements._source().count("CREATE FUNCTION") == len(made)

    run(test)
