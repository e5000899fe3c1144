"""What is told of state: writes of kv, and nothing else."""

from typing import Any

import orjson
import pytest

from holdfast import Change
from holdfast.contract.record import Range
from holdfast.contract.runtime import ManualClock
from holdfast.state import ScopedStore
from holdfast.store import layout
from tests.state.conftest import run
from tests.state.embedded.conftest import Open

STEM = "holdfast:state:api:kv:"


async def told(db: Any, since: int, pattern: str = "#") -> list[Change]:
    """The changes of state since a revision."""
    async with db.watch(pattern, view="state", since=since) as changes:
        await db.entries.set("end", 1)
        found = []
        async with db.watch("#", view="*", since=since) as everything:
            async for change in everything:
                if change.view == "entries":
                    break
                if change.view == "state":
                    found.append(change)
        got = [await anext(changes) for _ in found] if pattern == "#" else []
    assert got in ([], found)
    return found


def short(changes: list[Change]) -> list[tuple[str, str, Any, str]]:
    return [
        (one.op, one.key.removeprefix(STEM), one.after and orjson.loads(one.after), one.cause)
        for one in changes
    ]


@pytest.mark.row("D-002")
def test_every_write_of_kv_is_told(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.kv.get("made")
            begin = await db.head()
            await store.kv.set("a", 1)
            await store.batch.set({"b": 2, "c": 3})
            assert not await store.kv.set("a", 4, if_absent=True)
            async with store.claim.lease("l") as lease:
                await store.kv.set("a", 5, fence=lease)
            await store.kv.touch("a", 10)
            await store.kv.remove("b")
            await store.kv.remove("none")
            assert await store.batch.remove(["c", "none"]) == 1
            clock.advance(11)
            await store.kv.set("a", 6)
            assert short(await told(db, begin)) == [
                ("set", "a", None, "write"),
                ("set", "b", None, "write"),
                ("set", "c", None, "write"),
                ("set", "a", None, "write"),
                ("delete", "b", None, "write"),
                ("delete", "c", None, "write"),
                ("delete", "a", None, "expired"),
                ("set", "a", 6, "write"),
            ]

    run(main())


@pytest.mark.row("D-002")
def test_what_runs_out_is_told_by_the_sweep(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.kv.set("a", 1, ttl=5)
            await store.counter.increment("c", ttl=5)
            begin = await db.head()
            clock.advance(6)
            assert await store.kv.get("a") is None
            assert await db.sweep() == 2
            assert short(await told(db, begin)) == [("delete", "a", None, "expired")]
            assert await store.kv.remaining("a") is None

    run(main())


def test_a_watch_begins_with_what_stands(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.scope("org", 1).kv.set("theme:colour", "red")
            await store.scope("org", 2).kv.set("theme:colour", "blue")
            await store.counter.increment("theme:colour")
            pattern = "holdfast:state:api:org:+:kv:theme:colour".replace(":", "/")
            async with db.watch(pattern, view="state", snapshot=True) as changes:
                got = {one.key: one.after for one in [await anext(changes), await anext(changes)]}
                assert got == {
                    "holdfast:state:api:org:1:kv:theme:colour": b'"red"',
                    "holdfast:state:api:org:2:kv:theme:colour": b'"blue"',
                }
                assert (await anext(changes)).op == "snapshot_end"
                await store.kv.set("theme:colour", 0)
                await store.scope("org", 3).kv.set("theme:colour", "green")
                assert (await anext(changes)).after == b'"green"'

    run(main())


async def everything_else(store: ScopedStore) -> None:
    for _ in range(3):
        await store.counter.increment("c")
        await store.counter.set("d", 5, ttl=60)
        await store.claim.once("o", 1, ttl=60)
        await store.claim.release("o", 1)
        async with store.claim.lease("l"), store.semaphore.permit("s", 2):
            await store.presence.mark("g", "m")
        await store.limiter.fixed("f", 2, 5)
        await store.limiter.sliding("f", 2, 5)
        await store.limiter.bucket("f", 2, 5)
        await store.streams.append("s", 1, max_len=2)
        group = store.streams.group("g", "c")
        await group.ensure("s")
        for message in await group.read("s"):
            await group.ack("s", [message.id])
        await store.events.publish("a", 1)
        await store.cache.invalidate("t")


def test_everything_else_leaves_no_feed_rows_no_history_and_no_graves(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.kv.set("a", 1)
            begin = await db.head()
            await everything_else(store)
            await store.counter.remove("c")
            assert await db.head() > begin
            assert await told(db, begin) == []
            engine = store._scene.adapter.client
            rest: Range | None = Range.prefix(layout.KEYSPACE)
            regions = set()
            while rest is not None:
                page = await engine.scan(rest)
                for key, _ in page.rows:
                    keyspace = await db._require_shared().keyspaces.by_number(
                        layout.keyspace_of(key)
                    )
                    if keyspace is not None and keyspace.view == "state":
                        regions.add(key[5:6])
                rest = page.resume
            assert regions == {b"D", b"L", b"N"}

    run(main())


def test_whoever_writes_a_key_that_is_told_tells(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            adapter = store._scene.adapter
            await store.kv.set("a", 1)
            begin = await db.head()
            await adapter.set(STEM + "a", b"2")
            await adapter.set(STEM + "quiet", b"2")
            await adapter.append(STEM + "stream", b"2")
            await adapter.delete([STEM + "a", STEM + "quiet", STEM + "stream"])
            assert short(await told(db, begin)) == [
                ("set", "a", None, "write"),
                ("delete", "a", None, "write"),
            ]

    run(main())
