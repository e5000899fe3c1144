"""State is read through a handle for reading only, also before anybody has kept any."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast import ReadOnly
from holdfast.state import Bound, StoreBuilder, build_store
from tests.state.test_events import until

WRITER = """
import sys
import holdfast.sync

with holdfast.sync.open(sys.argv[1]) as db:
    store = holdfast.sync.state_store(db, "api")
    store.kv.set("a", 1)
    store.streams.append("log", "line")
    store.events.publish("news:1", "told")
"""


@pytest.fixture(params=["lmdb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that holds an entry and no state."""
    made = f"{request.param}:///{tmp_path}/db"
    with holdfast.sync.open(made) as db:
        db.entries.set("a:1", 1)
    return made


@pytest.mark.row("D-024", "E-103")
def test_where_nothing_was_kept_a_reader_finds_nothing(url: str) -> None:
    async def body() -> None:
        async with holdfast.open(url, read_only=True) as db:
            store = build_store(db, "api")
            assert await store.kv.get("a") is None
            assert not await store.kv.exists("a")
            assert await store.counter.get("a") == 0
            assert await store.claim.holder("a") is None
            assert await store.batch.get(["a"]) == [None]
            assert await store.streams.tail("a", 1) == []
            assert (await store.dev.scan("*")).keys == []
            with pytest.raises(ReadOnly):
                await store.kv.set("a", 1)
            with pytest.raises(ReadOnly):
                await store.counter.increment("a")

    asyncio.run(body())


@pytest.mark.row("D-050", "D-055", "E-103")
def test_a_reader_that_came_first_sees_and_hears_what_comes(url: str) -> None:
    async def body() -> None:
        heard: list[Any] = []
        async with holdfast.open(url, read_only=True) as db:
            store = build_store(db, "api")
            assert await store.kv.get("a") is None
            await store.events.subscribe("news:*", lambda message: heard.append(message.data))

            async with asyncio.timeout(30):
                coming = store.streams.follow("log")
                following = asyncio.ensure_future(anext(coming))
                await asyncio.sleep(0)
                writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, url)
                assert await writer.wait() == 0
                assert (await following).message == "line"
                await until(lambda: bool(heard))
            assert await store.kv.get("a") == 1
        assert heard == ["told"]

    asyncio.run(body())


@pytest.mark.row("D-024", "E-103")
def test_uses_of_a_bounded_area_are_no_writes_of_a_reader(url: str) -> None:
    async def body() -> None:
        names = [f"k{number}" for number in range(1100)]

        def bounded(db: holdfast.Database) -> Any:
            builder = StoreBuilder.create().with_adapter(db).with_service("api")
            return builder.with_bound("kv", Bound(items=5000)).build()

        async with holdfast.open(url) as db:
            store = bounded(db)
            await store.batch.set(dict.fromkeys(names, 1))
            async with db.snapshot() as moment:
                assert sum(await store.on(moment).batch.get(names)) == len(names)
        async with holdfast.open(url, read_only=True) as db:
            store = bounded(db)
            assert sum(await store.batch.get(names)) == len(names)

    asyncio.run(body())
