"""Stores in a folder: several engines under one root, crashes between making and naming, events."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import (
    ConfigInvalid,
    EngineNotFound,
    InvalidInput,
    InvalidName,
    StoreClosed,
    StoreExists,
    StoreNotFound,
)
from holdfast.database.store_root import MultiStoreConfig, StoreRoot
from holdfast.stores.lifecycle import TOPICS, StoreEvent, event
from tests.store.scene import listed
from tests.tidy import repository


def run(code: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """A program in a process of its own, which is given a folder."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(folder)],
        env={"PYTHONPATH": str(repository.SOURCE)},
        capture_output=True,
        timeout=50,
        check=False,
    )


def names_in(folder: Path) -> list[str]:
    """What is in a folder; nothing where it is not there."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.row("E-039")
@pytest.mark.row("E-040")
@pytest.mark.row("E-044")
async def test_stores_by_name(tmp_path: Path) -> None:
    async with StoreRoot(tmp_path) as root:
        assert await root.list_stores() == []
        b = await root.create_store("b", "sqlite")
        await root.create_store("a")
        assert await root.list_stores() == ["a", "b"]
        assert await root.store_exists("a")
        assert not await root.store_exists("zz")
        assert await root.get_store("b") is await root.get_store("b") is b
        with pytest.raises(StoreExists) as exists:
            await root.create_store("a", "sqlite")
        assert exists.value.code == "STORE_EXISTS"
        with pytest.raises(StoreNotFound) as absent:
            await root.get_store("zz")
        assert absent.value.code == "STORE_NOT_FOUND"
        with pytest.raises(EngineNotFound) as unknown:
            await root.create_store("c", "nope")
        assert unknown.value.code == "ENGINE_NOT_FOUND"
        # The default engine, because none was named.
        assert json.loads((tmp_path / "a" / "store.json").read_text())["engine"] == "lmdb"


@pytest.mark.row("E-041")
async def test_a_store_is_there_after_a_restart(tmp_path: Path) -> None:
    make = """
        import asyncio, sys
        from holdfast.database.store_root import StoreRoot
        async def main():
            async with StoreRoot(sys.argv[1]) as root:
                for engine in ("lmdb", "sqlite"):
                    store = await root.create_store(engine, engine, {"compression": "zstd"})
                    await store.set(b"k", b"v" * 1000)
        asyncio.run(main())
    """
    done = run(make, tmp_path)
    assert done.returncode == 0, done.stderr
    async with StoreRoot(tmp_path) as root:
        for engine in ("lmdb", "sqlite"):
            store = await root.get_store(engine)
            assert await store.get(b"k") == b"v" * 1000
            assert store.config.compression == "zstd"


@pytest.mark.row("E-042")
@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", "a\0b", ".hidden", "a\\b", None, 5, "\ud800", "x" * 201], ids=ascii
)
async def test_a_name_cannot_leave_the_root(tmp_path: Path, name: Any) -> None:
    inner = tmp_path / "inner"
    async with StoreRoot(inner) as root:
        for call in (root.create_store(name), root.get_store(name), root.delete_store(name)):
            with pytest.raises(InvalidName) as raised:
                await call
            assert raised.value.code == "INVALID_NAME"
    assert names_in(tmp_path) == []


@pytest.mark.row("E-041", "E-042")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite", "memory"])
async def test_a_name_is_no_part_of_an_address(tmp_path: Path, engine: str) -> None:
    names = sorted(
        [
            "a%41",
            "aA",
            "a?layers=read_only",
            "a?read_only=true",
            "a#b",
            "a&b=c",
            "a+b",
            "a b",
            "a\nb",
        ]
    )
    inner = tmp_path / "100% ?#&"
    async with StoreRoot(MultiStoreConfig(str(inner), default_engine=engine)) as root:
        for name in names:
            await (await root.create_store(name)).set(b"name", name.encode())
        for name in names:
            assert await (await root.get_store(name)).get(b"name") == name.encode()
    assert names_in(inner) == names
    assert names_in(tmp_path) == [inner.name]
    if engine != "memory":
        async with StoreRoot(inner) as root:
            for name in names:
                assert await (await root.get_store(name)).get(b"name") == name.encode()


@pytest.mark.row("E-043")
async def test_a_deleted_store_is_gone(tmp_path: Path) -> None:
    async with StoreRoot(tmp_path) as root:
        store = await root.create_store("s")
        await store.set(b"k", b"v")
        await root.delete_store("s")
        assert names_in(tmp_path) == []
        with pytest.raises(StoreClosed):
            await store.get(b"k")
        with pytest.raises(StoreNotFound):
            await root.delete_store("s")
        again = await root.create_store("s", "sqlite")
        assert not await again.has(b"k")


@pytest.mark.row("E-045")
async def test_closing_all_goes_on_past_one_that_fails(tmp_path: Path) -> None:
    async with StoreRoot(tmp_path) as root:
        stores = [await root.create_store(name) for name in ("a", "b", "c")]

        async def failing() -> None:
            raise OSError("no")

        stores[1].close = failing  # type: ignore[method-assign]
        with pytest.raises(ExceptionGroup) as raised:
            await root.close_all()
        assert [type(one) for one in raised.value.exceptions] == [OSError]
        for closed in (stores[0], stores[2]):
            with pytest.raises(StoreClosed):
                await closed.get(b"k")
        assert await (await root.get_store("a")).count() == 0


@pytest.mark.row("E-046")
async def test_the_default_engine(tmp_path: Path) -> None:
    async with StoreRoot(tmp_path) as root:
        assert root.default_engine == "lmdb"
        root.set_default_engine("sqlite")
        await root.create_store("s")
        assert (tmp_path / "s" / "data").is_file(), "a database of sqlite is a file"
        with pytest.raises(EngineNotFound) as raised:
            root.set_default_engine("nope")
        assert raised.value.code == "ENGINE_NOT_FOUND"
        assert root.default_engine == "sqlite"


async def test_of_two_that_create_one_name_one_wins(tmp_path: Path) -> None:
    async with StoreRoot(tmp_path) as one, StoreRoot(tmp_path) as two:
        tries = await asyncio.gather(
            *(
                root.create_store("s", engine)
                for root in (one, two)
                for engine in ("lmdb", "sqlite")
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(found, StoreExists) for found in tries) == 3
        assert await one.list_stores() == await two.list_stores() == ["s"]
    assert names_in(tmp_path) == ["s"]


async def test_a_crash_before_the_name_leaves_nothing_that_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between making the store and giving it its name."""
    killed = """
        import asyncio, os, signal, sys
        from pathlib import Path
        from holdfast.database.store_root import StoreRoot
        Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        async def main():
            async with StoreRoot(sys.argv[1]) as root:
                await root.create_store("s")
        asyncio.run(main())
    """
    done = run(killed, tmp_path)
    assert done.returncode == -9, done.stderr
    [left] = names_in(tmp_path)
    assert left.startswith(".making-")
    async with StoreRoot(tmp_path) as root:
        assert await root.list_stores() == []
        assert not await root.store_exists("s")
        await root.create_store("s")
        assert left in names_in(tmp_path), "somebody may be at it"
    monkeypatch.setattr("holdfast.database.store_root.MAKING_MS_MAX", -10_000)
    async with StoreRoot(tmp_path) as root:
        assert left not in names_in(tmp_path)
        assert await root.list_stores() == ["s"]


@pytest.mark.row("E-053")
async def test_the_configuration_has_the_names_of_the_seed(tmp_path: Path) -> None:
    text = (
        '{"rootPath":"/data","defaultEngine":"sqlite",'
        '"engineConfigs":{"lmdb":{"durability":"relaxed"}}}'
    )
    config = MultiStoreConfig.from_json(text)
    assert config.to_json() == text
    toml = (
        'rootPath = "/data"\ndefaultEngine = "sqlite"\n[engineConfigs.lmdb]\ndurability = "relaxed"'
    )
    assert MultiStoreConfig.from_toml(toml) == config
    environment = {
        "HOLDFAST_STORES_ROOT": "/data",
        "HOLDFAST_STORES_ENGINE": "sqlite",
        "HOLDFAST_STORES_CONFIGS": '{"lmdb": {"durability": "relaxed"}}',
    }
    assert MultiStoreConfig.from_environment(environment) == config
    for wrong in ("", "{}", '{"rootPath": 5}', '{"rootPath": "x", "rootpath": "y"}'):
        with pytest.raises(ConfigInvalid):
            MultiStoreConfig.from_json(wrong)
    for given in ({}, {"HOLDFAST_STORES_ROOT": "x", "HOLDFAST_STORES_CONFIGS": "["}):
        with pytest.raises(ConfigInvalid):
            MultiStoreConfig.from_environment(given)
    with pytest.raises(ConfigInvalid):
        MultiStoreConfig.from_toml("rootPath = ")
    wrong_engine = MultiStoreConfig(str(tmp_path), engine_configs={"lmdb": {"nope": 1}})
    async with StoreRoot(wrong_engine) as root:
        with pytest.raises(ConfigInvalid):
            await root.create_store("s")


@pytest.mark.row("E-069")
@pytest.mark.row("E-005")
async def test_three_engines_with_their_settings_and_one_bus(tmp_path: Path) -> None:
    settings = {"lmdb": {"durability": "relaxed"}, "sqlite": {"durability": "relaxed"}}
    seen: list[StoreEvent] = []
    config = MultiStoreConfig(str(tmp_path), "memory", settings)  # type: ignore[arg-type]
    async with StoreRoot(config) as root:
        root.subscribe("store.#", seen.append)
        for engine in ("lmdb", "sqlite", ""):
            store = await root.create_store(engine or "memory", engine)
            await store.set(b"k", b"v")
            capabilities = store._content.space.engine.capabilities
            assert capabilities.engine == (engine or "memory")
            if engine:
                assert capabilities.durability == "relaxed"
        async with (await root.get_store("lmdb")).transaction() as tx:
            await tx.set(b"k", b"w")
        tx = await (await root.get_store("lmdb")).transaction().begin()
        await tx.rollback()
        saved = await (await root.get_store("sqlite")).save_version()
        tree = await root.create_store("tree", "lmdb", {"kind": "iavl"})
        await tree.save_version()
        await tree.load_version(1)
        await root.delete_store("sqlite")
        assert dict(await listed((await root.get_store("memory")).iterate())) == {b"k": b"v"}
    told = [(one.topic, one.name) for one in seen]
    assert told[:3] == [("store.created", name) for name in ("lmdb", "sqlite", "memory")]
    assert {one.topic for one in seen} == set(TOPICS), "every topic was told"
    [of_sqlite] = [
        one for one in seen if one.topic == "store.version.saved" and one.name == "sqlite"
    ]
    assert (of_sqlite.payload["version"], of_sqlite.payload["root"]) == (1, saved.root)


@pytest.mark.row("E-058")
def test_every_topic_has_its_facts() -> None:
    """What the helper makes has the facts of its topic, no more and no fewer."""
    samples: dict[str, Any] = {
        "engine": "lmdb", "path": None, "kind": "plain", "version": 1, "root": bytes(32),
        "transaction": "ab", "changes": 2, "revision": 3,
    }  # fmt: skip
    for topic, names in TOPICS.items():
        facts = {name: samples[name] for name in names}
        made = event(topic, "s", 5, **facts)
        assert made.payload == {"name": "s", "at_ms": 5, **facts}
        assert (made.topic, made.name, made.at_ms) == (topic, "s", 5)
        with pytest.raises(TypeError):
            event(topic, "s", 5, **facts, more=1)
        for name in names:
            with pytest.raises(TypeError):
                event(topic, "s", 5, **{one: facts[one] for one in names if one != name})


@pytest.mark.row("E-086")
async def test_an_engine_is_found_by_what_it_can_do(tmp_path: Path) -> None:
    every = holdfast.find_engines()
    assert {"lmdb", "memory", "sqlite"} <= set(every)
    kept = holdfast.find_engines(persistence=True, transactions=True)
    assert "memory" not in kept
    assert {"lmdb", "sqlite"} <= set(kept)
    assert holdfast.find_engines(versioning=True, compression=True, range_queries=True) == every
    assert "lmdb" in holdfast.find_engines(value_bytes_max=1024, snapshots=True)
    assert holdfast.find_engines(value_bytes_max=1 << 60) == []
    for wrong in ({"nope": True}, {"transaction": True}):
        with pytest.raises(InvalidInput):
            holdfast.find_engines(**wrong)
    # What is said of an engine is what a store on it does.
    async with StoreRoot(tmp_path) as root:
        for engine in ("lmdb", "memory", "sqlite"):
            store = await root.create_store(engine, engine)
            capabilities = store._content.space.engine.capabilities
            assert (engine in kept) == capabilities.persistent
            async with store.transaction() as tx:
                await tx.set(b"k", b"v")
            assert (await store.save_version()).number == 1
