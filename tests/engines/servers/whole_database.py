"""A whole database on a server: every view, watchers of other handles, callers without a loop.

An engine imports all of it beside a fixture `config_of` that makes its configurations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import Conflict
from holdfast.engines.remote.config import RemoteConfig
from tests.store.scene import until

#: Makes a configuration of the same database each time, with these settings.
ConfigOf = Callable[..., RemoteConfig]


def test_every_view_works(config_of: ConfigOf) -> None:
    config = config_of()

    async def work() -> None:
        async with holdfast.open(config.url_with_secrets) as db:
            start = await db.head()
            seen: list[str] = []
            db.entries.subscribe("#", lambda change: seen.append(str(change.key)))
            await db.entries.set("a:1", {"n": 1}, tags=["t"], comment="why")
            await db.entries.modify("a:1", lambda value: {"n": value["n"] + 1})
            assert [past.value async for past in db.entries.history("a:1")] == [{"n": 1}]
            assert [one.key.name async for one in db.entries.find_by_tag("t")] == ["1"]
            store = await db.stores.create("s")
            await store.set(b"k", b"v")
            async with db.transaction() as tx:
                inside = await tx.stores.get("s")
                assert await inside.get(b"k") == b"v"
                await inside.set(b"k", b"w")
                await tx.entries.set("a:2", 2)
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

    asyncio.run(work())


def test_a_caller_without_a_loop_has_the_same(config_of: ConfigOf) -> None:
    with holdfast.sync.open(config_of().url_with_secrets) as db:
        db.entries.set("a", 1)
        assert db.entries.modify("a", lambda value: value + 1).value == 2
        with db.transaction() as tx:
            tx.entries.set("b", 1)
        assert sorted(str(key) for key in db.entries.keys("#")) == ["a", "b"]
        with db.watch(since=0) as watch:
            assert [str(watch.poll(5).key) for _ in range(3)] == ["a", "a", "b"]  # type: ignore[union-attr]
        assert db.check() == []


def test_many_tasks_and_handles_lose_nothing(config_of: ConfigOf) -> None:
    async def work() -> None:
        async with (
            holdfast.open(config_of(), housekeeping=False) as one,
            holdfast.open(config_of(requests_max=32), housekeeping=False) as two,
        ):
            await one.entries.set("n", 0)
            await asyncio.gather(
                *(db.entries.modify("n", lambda value: value + 1)
                  for db in (one, two) for _ in range(50))
            )  # fmt: skip
            assert (await one.entries.require("n")).value == 100
            assert (await two.entries.require("n")).metadata.version == 101

    asyncio.run(work())


def test_watchers_elsewhere_are_woken_at_once(config_of: ConfigOf) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with (
            holdfast.open(config_of()) as db,
            holdfast.open(config_of(requests_max=32)) as other,
            other.watch("#", since=await other.head()) as changes,
        ):
            waits = []
            for number in range(20):
                waiting = asyncio.create_task(anext(changes))
                await asyncio.sleep(0.005)
                begun = loop.time()
                await db.entries.set("a", number)
                change = await waiting
                assert change.after is not None
                assert change.after.value == number
                waits.append(loop.time() - begun)
            # The machine may be busy with other tests, but not each time.
            assert sorted(waits)[5] < 0.1, "within 100 ms, as for every shared engine"

    asyncio.run(work())


def test_one_process_keeps_house_for_all(config_of: ConfigOf) -> None:
    async def work() -> None:
        async with holdfast.open(config_of()) as db:
            await db.entries.set("a", 1, ttl=0.05)
            async with db.watch(since=db.revision) as watch, asyncio.timeout(20):
                change = await anext(watch)
            assert (change.op, change.cause) == ("delete", "expired")

    asyncio.run(work())
