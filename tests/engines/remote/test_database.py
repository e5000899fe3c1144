"""A whole database on an engine whose driver is a server: every view, with and without a loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import Conflict
from holdfast.store import registry
from tests.engines.remote.loopback_engine import LoopbackConfig, loopback_config
from tests.store.scene import until


@pytest.fixture(autouse=True)
def loopback_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the registry know the engine of these tests."""
    target = "tests.engines.remote.loopback_engine:LoopbackEngine"
    monkeypatch.setitem(registry._OURS, LoopbackConfig.scheme, target)


def test_every_view_works_on_a_server(tmp_path: Path) -> None:
    config = loopback_config(str(tmp_path))

    async def work() -> None:
        async with holdfast.open(config) as db:
            start = await db.head()
            seen: list[str] = []
            db.entries.subscribe("#", lambda change: seen.append(str(change.key)))
            entry = await db.entries.set("a:1", {"n": 1}, tags=["t"], comment="why")
            await db.entries.modify("a:1", lambda value: {"n": value["n"] + 1})
            assert [past.value async for past in db.entries.history("a:1")] == [{"n": 1}]
            assert [one.key.name async for one in db.entries.find_by_tag("t")] == ["1"]
            store = await db.stores.create("s")
            await store.set(b"k", b"v")
            async with db.transaction() as tx:
                inside = await tx.stores.get("s")
                assert await inside.get(b"k") == b"v"
                await inside.set(b"k", b"w")
                mine = await tx.entries.set("a:2", 2)
            assert mine.revision == tx.revision
            tx = await db.transaction().begin()
            await tx.entries.get("a:2")
            await db.entries.set("a:2", 3)
            await tx.entries.set("a:3", 1)
            with pytest.raises(Conflict):
                await tx.commit()
            async with db.watch("a/#", since=start) as watch:
                keys = [str((await anext(watch)).key) for _ in range(4)]
            assert keys == ["a:1", "a:1", "a:2", "a:2"]
            await until(lambda: len(seen) == 4)
            assert seen == keys
            assert await db.check() == []
            assert (await db.explain())["abilities"]["transactions"]["source"] == "emulated"
            assert entry.metadata.version == 1

    asyncio.run(work())


def test_a_watch_forgets_which_pages_it_has_shown(tmp_path: Path) -> None:
    async def work() -> None:
        async with holdfast.open(loopback_config(str(tmp_path))) as db:
            for number in range(3):
                await db.entries.set(f"a:{number}", number)
            async with db.watch("a/#", snapshot=True) as watch:
                told = [(await anext(watch)).op for _ in range(4)]
                assert told == ["set", "set", "set", "snapshot_end"]
                assert watch._shown is not None, "this engine has no moment to read from"
                await db.entries.set("a:3", 3)
                assert str((await anext(watch)).key) == "a:3"
                assert watch._shown is None

    asyncio.run(work())


def test_a_caller_without_a_loop_has_the_same(tmp_path: Path) -> None:
    with holdfast.sync.open(loopback_config(str(tmp_path))) as db:
        db.entries.set("a", 1)
        assert db.entries.modify("a", lambda value: value + 1).value == 2
        with db.transaction() as tx:
            tx.entries.set("b", 1)
        assert sorted(str(key) for key in db.entries.keys("#")) == ["a", "b"]
        with db.watch(since=0) as watch:
            assert [str(watch.poll(5).key) for _ in range(3)] == ["a", "a", "b"]  # type: ignore[union-attr]
        assert db.check() == []


def test_one_process_keeps_house_for_all(tmp_path: Path) -> None:
    """What expires is ended by whoever holds the lease."""

    async def work() -> None:
        async with holdfast.open(loopback_config(str(tmp_path))) as db:
            await db.entries.set("a", 1, ttl=0.05)
            async with db.watch(since=db.revision) as watch, asyncio.timeout(20):
                change = await anext(watch)
            assert (change.op, change.cause) == ("delete", "expired")

    asyncio.run(work())
