"""What happens by itself: expiry with all that follows, giving up what was published, checks."""

import asyncio
from typing import Any

import pytest

import holdfast
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import (
    AdapterRequired,
    InvalidKey,
    ReadOnly,
    StoreClosed,
    ValueTooLarge,
)
from holdfast.contract.record import Range
from holdfast.contract.runtime import ManualClock
from holdfast.state import BreakerAdapter, RetryAdapter, StoreBuilder, build_store
from holdfast.state.embedded import listening, trimming
from holdfast.state.embedded.rows import Head, pack_row
from holdfast.store.plain.rows import pack_plain
from tests.state.conftest import run
from tests.state.embedded.conftest import Open
from tests.state.test_events import until


async def rows_of(store: Any, region: str) -> list[bytes]:
    ground = store._scene.adapter._ground
    found: list[bytes] = []
    rest: Range | None = Range.prefix(getattr(ground.places, region))
    while rest is not None:
        page = await ground.space.scan(rest)
        found += [key for key, _ in page.rows]
        rest = page.resume
    return found


def test_a_stream_that_runs_out_leaves_nothing(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, store):
            adapter = store._scene.adapter
            group = store.streams.group("g", "c")
            for again in range(2):
                await group.ensure("s")
                for n in range(5):
                    await store.streams.append("s", n)
                assert len(await group.read("s", count=3)) == 3
                assert await adapter.expire("holdfast:state:api:streams:s", 5000)
                clock.advance(6)
                assert await store.streams.length("s") == 0
                assert await store.streams.tail("s") == []
                if again:
                    assert await db.sweep() == 1
                    assert await rows_of(store, "streams") == []
            # Taken over before it was swept: nothing of the old one shows.
            await store.streams.append("s", 1)
            await adapter.expire("holdfast:state:api:streams:s", 5000)
            clock.advance(6)
            await store.streams.append("s", 2)
            assert [one.message for one in await store.streams.tail("s")] == [2]
            # A value over a stream likewise.
            await adapter.set("holdfast:state:api:streams:s", b"1")
            assert await rows_of(store, "streams") == []

    run(main())


def test_what_was_published_is_given_up(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, store):
            for n in range(5):
                await store.events.publish("a", n)
            clock.advance(trimming.KEPT_MS / 1000 - 1)
            await store.events.publish("a", 5)
            clock.advance(2)
            await db.sweep()
            assert len(await rows_of(store, "news")) == 2  # One message, and the row of notes.
            clock.advance(trimming.KEPT_MS / 1000)
            await db.sweep()
            assert len(await rows_of(store, "news")) == 1
            # Where nobody keeps house, who publishes does.
            await asyncio.gather(*(store.events.publish("a", n) for n in range(2500)))
            clock.advance((trimming.KEPT_MS + trimming.PATIENCE_MS) / 1000 + 1)
            await store.events.publish("a", 6)
            assert len(await rows_of(store, "news")) == 2

    run(main())


def test_who_slept_through_it_is_told_of_the_gap(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, store):
            adapter: Any = store._scene.adapter
            subscription = await store.events.subscribe("a", print)
            await store.events.publish("b", 0)
            await asyncio.sleep(0.05)
            assert subscription.gaps == 0
            adapter._ear._told = 0
            clock.advance(trimming.KEPT_MS / 1000 + 1)
            await db.sweep()
            await store.events.publish("b", 1)
            await until(lambda: subscription.gaps > 0)
            await store.close()

    run(main())


def test_a_loop_that_cannot_read_goes_on(here: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "RETRY_S", 0.01)

    async def main() -> None:
        async with here() as (_, store):
            got: list[Any] = []
            subscription = await store.events.subscribe("a", lambda m: got.append(m.data))
            ear: Any = store._scene.adapter._ear  # type: ignore[attr-defined]
            broken = [OSError(), ValueError(), holdfast.StoreError("no")]
            tell = ear._tell

            async def failing() -> None:
                if broken:
                    raise broken.pop()
                await tell()

            monkeypatch.setattr(ear, "_tell", failing)
            await store.events.publish("a", 1)
            await until(lambda: got == [1])
            assert subscription.gaps == 3
            await store.close()

    run(main())


def test_a_loop_that_was_ended_is_started_again(here: Open) -> None:
    """By whoever cancels every task there is, for one."""

    async def main() -> None:
        async with here() as (_, store):
            group = store.streams.group("g", "c")
            await group.ensure("s")
            reading = asyncio.create_task(group.read("s", block=5))
            await asyncio.sleep(0.05)
            ear: Any = store._scene.adapter._ear  # type: ignore[attr-defined]
            ear._loop.stop()
            await asyncio.sleep(0.05)
            await store.streams.append("s", 1)
            [message] = await asyncio.wait_for(reading, 1)
            assert message.message == 1

    run(main())


def test_a_check_finds_what_does_not_agree(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.kv.set("a", 1, ttl=60)
            await store.streams.append("s", 1)
            ground: Any = store._scene.adapter._ground  # type: ignore[attr-defined]
            engine, places = ground.space.engine, ground.places
            stream = places.row("holdfast:state:api:streams:s")
            [value] = [one async for one in _data(ground, "holdfast:state:api:kv:a")]
            damages: list[tuple[list[Any], str]] = [
                ([Put(places.row("x"), b"\x81")], "begins with its format"),
                ([Put(places.row("x"), b"\x82\0\x01")], "format"),
                ([Put(places.row("x"), pack_plain(b""))], "cut off"),
                ([Put(places.row("x"), pack_plain(b"\x06abc"))], "cut off"),
                ([Put(places.row("x"), pack_row(1, b"", 5))], "expiry"),
                ([Put(stream, pack_row(6, Head(1, 5, 0).packed()))], "5 messages; found 1"),
                ([Delete(stream)], "0 messages; found 1"),
                ([Delete(places.row("holdfast:state:api:kv:a"))], "found 1 rows of expiry"),
            ]
            for batch, said in damages:
                before = [one async for one in _data(ground, *(_key(places, b) for b in batch))]
                await engine.commit(Batch(batch))
                faults = await db.check()
                assert faults, said
                assert said in " ".join(faults)
                repair = [
                    Delete(b.key) if old is None else Put(b.key, old)
                    for b, old in zip(batch, before, strict=True)
                ]
                await engine.commit(Batch(repair))
                assert await db.check() == []
            assert value is not None

    run(main())


def _key(places: Any, operation: Any) -> str:
    return str(places.text(operation.key))


async def _data(ground: Any, *keys: str) -> Any:
    for record in await ground.space.read([ground.row_key(key) for key in keys]):
        yield None if record is None else record.value


@pytest.mark.row("D-104")
def test_what_is_given_as_an_adapter(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            with pytest.raises(AdapterRequired, match="an open database"):
                StoreBuilder.create().with_adapter(object())  # type: ignore[arg-type]
            closed = holdfast.open("memory://")
            with pytest.raises(StoreClosed, match="not open yet"):
                build_store(closed, "api")
            # Several stores on one handle: one that is closed disturbs nobody.
            other = build_store(db, "api")
            await other.kv.set("a", 1)
            await other.close()
            with pytest.raises(StoreClosed):
                await other.kv.get("a")
            assert await store.kv.get("a") == 1
            assert "EmbeddedAdapter" in repr(store._scene.adapter)

    run(main())


def test_layers_stand_around_it(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, _):
            breaker = BreakerAdapter(RetryAdapter(db.state_adapter()))
            store = build_store(breaker, "api")
            begin = await db.head()
            await store.kv.set("a", 1)
            await store.counter.increment("c")
            async with db.watch("#", view="state", since=begin) as changes:
                assert (await anext(changes)).key == "holdfast:state:api:kv:a"
            for _ in range(5):
                breaker._breaking.met(True, probing=False)
            with pytest.raises(holdfast.StoreError, match="breaker"):
                await store.kv.set("a", 2)
            async with db.transaction() as tx:
                await store.on(tx).kv.set("a", 3)
            breaker._breaking.met(False, probing=True)
            assert await store.kv.get("a") == 3

    run(main())


@pytest.mark.row("D-124")
def test_limits_of_the_engine_are_named(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            longest = db.capabilities.value_bytes_max
            with pytest.raises(ValueTooLarge) as caught:
                await store._scene.adapter.set("a", bytes(longest))
            assert caught.value.details["limit"] == longest - 11
            await store._scene.adapter.set("a", bytes(1000))
            with pytest.raises(InvalidKey):
                await store.kv.set("k" * (db.capabilities.key_bytes_max + 1), 1)
            with pytest.raises(InvalidKey):
                await store._scene.adapter.get("\ud800")

    run(main())


def test_a_handle_for_reading(tmp_path: Any) -> None:
    url = f"lmdb:///{tmp_path}/db"

    async def main() -> None:
        async with holdfast.open(url) as db:
            await build_store(db, "api").kv.set("a", 1)
        async with holdfast.open(f"{url}?read_only=true") as db:
            store = build_store(db, "api")
            assert await store.kv.get("a") == 1
            with pytest.raises(ReadOnly):
                await store.kv.set("a", 2)
            with pytest.raises(ReadOnly):
                await store.counter.increment("a")

    run(main())
