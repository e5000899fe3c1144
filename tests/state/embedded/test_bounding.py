"""Areas that hold only so much, whoever writes and whatever ends meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.contract.errors import ConfigInvalid, Unsupported
from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import (
    Bound,
    MockStoreAdapter,
    RedisAdapter,
    RetryAdapter,
    ScopedStore,
    StoreBuilder,
)
from holdfast.state.embedded import bounding
from holdfast.state.embedded.rows import row_of
from tests.state import workers
from tests.state.conftest import run
from tests.state.embedded.conftest import Open


def bounded(db: Any, bound: Bound, area: str = "kv") -> ScopedStore:
    return StoreBuilder.create().with_adapter(db).with_service("b").with_bound(area, bound).build()


async def keys(store: ScopedStore) -> list[str]:
    return sorted((await store.dev.scan()).keys)


def test_the_longest_unused_goes_first(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = bounded(db, Bound(items=4))
            for n in range(4):
                await store.kv.set(f"k{n}", n)
                clock.advance(1)
            assert await store.kv.get("k0") == 0
            clock.advance(1)
            await store.kv.set("k4", 4)
            clock.advance(1)
            await store.kv.set("k5", 5)
            assert await keys(store) == ["k0", "k3", "k4", "k5"]
            # Counted for all scopes together.
            await store.scope("org", 1).kv.set("k6", 6)
            assert await keys(store) == ["k0", "k4", "k5"]

    run(main())


def test_the_least_used_goes_first(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = bounded(db, Bound(items=3, order="lfu"))
            await store.batch.set({"a": 1, "b": 1, "c": 1})
            for _ in range(5):
                assert await store.batch.get(["a", "c", "none"]) == [1, 1, None]
            await store.kv.set("d", 1)
            assert await keys(store) == ["a", "c", "d"]
            for _ in range(9):
                await store.kv.get("d")
            await store.kv.set("e", 1)
            assert "d" in await keys(store)
            assert len(await keys(store)) == 3

    run(main())


def test_what_ends_first_goes_first(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = bounded(db, Bound(items=3, order="ttl"))
            await store.kv.set("never", 1)
            await store.kv.set("late", 1, ttl=500)
            await store.kv.set("soon", 1, ttl=5)
            await store.kv.set("later", 1, ttl=900)
            assert await keys(store) == ["late", "later", "never"]
            # What has run out is not counted once it is swept.
            clock.advance(600)
            assert await db.sweep() == 1
            await store.kv.set("more", 1, ttl=5)
            assert await keys(store) == ["later", "more", "never"]

    run(main())


def test_bytes_are_bounded(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = bounded(db, Bound(bytes=10_000))
            for n in range(40):
                await store.kv.set(f"k{n:02}", "x" * 1000)
                clock.advance(1)
            left = await keys(store)
            assert 8 <= len(left) <= 9
            assert left[-1] == "k39"
            # One that is larger than all of it does not stay.
            await store.kv.set("large", "x" * 20_000)
            assert await store.kv.get("large") is None

    run(main())


def test_what_goes_is_told(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = bounded(db, Bound(items=1))
            await store.kv.set("a", 1)
            begin = await db.head()
            clock.advance(1)
            await store.kv.set("b", 2)
            async with db.watch("#", view="state", since=begin) as changes:
                told = [await anext(changes), await anext(changes)]
            assert [(one.op, one.key[-1], one.cause) for one in told] == [
                ("set", "b", "write"), ("delete", "a", "expired"),
            ]  # fmt: skip

    run(main())


def test_results_are_bounded_and_their_tags_are_not(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, _):
            store = bounded(db, Bound(items=3), "cache")
            calls: list[int] = []

            @store.cached(ttl=60, key="{n}", tags=["t"])
            def function(n: int) -> int:
                calls.append(n)
                return n

            await function(0)
            await store.cache.invalidate("t", *(f"tag{n}" for n in range(20)))
            for n in range(1, 9):
                clock.advance(1)
                await function(n)
            assert await function(8) == 8
            assert await function(0) == 0
            assert calls == [*range(9), 0]
            adapter = store._scene.adapter
            found = (await adapter.scan("holdfast:state:b:cache:*", "0", 1000)).keys
            assert len(found) <= 3
            assert len((await adapter.scan("holdfast:state:b:tag:*", "0", 1000)).keys) == 21

    run(main())


Step = Callable[[ScopedStore, Any, int], Awaitable[Any]]


def whole(n: int) -> str:
    return f"holdfast:state:b:kv:k{n}"


async def over_a_stream(store: ScopedStore, db: Any, n: int) -> None:
    await store._scene.adapter.delete([whole(n)])
    await store._scene.adapter.append(whole(n), b"z")


STEPS: dict[str, Step] = {
    "set": lambda store, _, n: store.kv.set(f"k{n}", "x" * n),
    "set for a while": lambda store, _, n: store.kv.set(f"k{n}", n, ttl=3),
    "set past the area": lambda store, _, n: store._scene.adapter.set(whole(n), b"y" * n),
    "remove": lambda store, _, n: store.kv.remove(f"k{n}"),
    "touch": lambda store, _, n: store.kv.touch(f"k{n}", 2),
    "get": lambda store, _, n: store._scene.adapter.of("kv").get_many([whole(n)]),
    "stream": over_a_stream,
    "sweep": lambda _, db, __: db.sweep(),
}


@settings(max_examples=25)
@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 5)), max_size=40),
    order=st.sampled_from(["lru", "lfu", "ttl"]),
)
def test_the_books_are_right_whatever_happens(steps: list[tuple[str, int]], order: Any) -> None:
    clock = ManualClock()
    parts = replace(system_components(), clock=clock)
    bound = Bound(items=3, order=order)

    async def main() -> None:
        async with holdfast.open("memory://", components=parts, housekeeping=False) as db:
            store = bounded(db, bound)
            for what, n in steps:
                await STEPS[what](store, db, n)
                clock.advance(0.7)
                assert await db.check() == []
            await db.sweep()
            adapter: Any = store._scene.adapter
            ground = await adapter._rows()
            records = [await ground.record(ground.row_key(whole(n))) for n in range(6)]
            found = [(whole(n), row_of(one[0])) for n, one in enumerate(records) if one is not None]
            held = [len(key) + len(row.payload) for key, row in found if row.place is not None]
            books = bounding.Bounded("holdfast:state:b/kv", bound)
            places = ground.places.bound(books.group.name)
            assert await books._add_up(ground, places) == (len(held), sum(held))
            assert len(held) <= 3

    asyncio.run(main())


def fills(number: int, url: str, service: str, count: int) -> int:
    async def main() -> int:
        async with holdfast.open(url) as db:
            builder = StoreBuilder.create().with_adapter(db).with_service(service)
            store = builder.with_bound("kv", Bound(items=80)).build()
            for n in range(count):
                await store.kv.set(f"{number}:{n}", random.random())
        return count

    return asyncio.run(main())


def test_several_processes_pass_it_by_a_part_at_most(tmp_path: Path, service: str) -> None:
    url = f"lmdb:///{tmp_path}/db?durability=relaxed"
    workers.run_in_processes(fills, 4, url, service, 100)

    async def main() -> int:
        async with holdfast.open(url) as db:
            assert await db.check() == []
            store = StoreBuilder.create().with_adapter(db).with_service(service).build()
            return len([one async for one in store.dev.iterate()])

    left = run(main())
    assert 50 <= left <= 80 + 4 * 5


def test_what_cannot_be_bounded() -> None:
    builder = StoreBuilder.create().with_service("a")
    for wrong in (
        dict[str, Any](), {"items": 0}, {"bytes": True}, {"items": 5, "order": "fifo"},
    ):  # fmt: skip
        with pytest.raises(ConfigInvalid):
            Bound(**wrong)
    for area in ("counter", "streams", "nothing"):
        with pytest.raises(ConfigInvalid, match="kv and cache"):
            builder.with_bound(area, Bound(items=5))
    one = builder.with_bound("kv", Bound(items=5))
    for adapter in (MockStoreAdapter(), RedisAdapter.from_url("redis://h")):
        with pytest.raises(Unsupported, match="maxmemory"):
            one.with_adapter(adapter).build()

    async def main() -> None:
        async with holdfast.open("memory://") as db:
            with pytest.raises(ConfigInvalid, match="Shorten the prefix"):
                one.with_adapter(db).with_prefix("p" * 256).build()
            # Through a layer.
            store = one.with_adapter(RetryAdapter(db.state_adapter())).build()
            await store.batch.set({f"k{n}": n for n in range(20)})
            assert len(await keys(store)) == 5

    run(main())
