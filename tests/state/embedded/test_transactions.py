"""State takes part in transactions and snapshots of its database."""

import asyncio
from typing import Any

import pytest

from holdfast.contract.errors import Conflict, Unsupported
from holdfast.state import MockStoreAdapter, build_store
from tests.state.conftest import run
from tests.state.embedded.conftest import Open
from tests.state.test_events import until


@pytest.mark.row("D-002")
def test_all_or_nothing_with_other_views(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.counter.set("stock", 1)
            await store.streams.append("s", 0)
            ledger = await db.stores.create("ledger")

            async def buy(fail: bool) -> None:
                async with db.transaction() as tx:
                    inside = store.on(tx)
                    await tx.entries.set("orders:1", {"total": 42})
                    await tx.collection("orders").set("1", {"total": 42})
                    await (await tx.stores.get("ledger")).set(b"1", b"42")
                    assert await inside.counter.decrement("stock", minimum=0) == 0
                    assert await inside.counter.get("stock") == 0
                    await inside.streams.append("s", 1)
                    await inside.kv.set("a", 1)
                    await inside.claim.once("c", 1, ttl=60)
                    assert await inside.presence.members("p") == {}
                    if fail:
                        raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await buy(fail=True)
            assert await db.entries.get("orders:1") is None
            assert await db.collection("orders").get("1") is None
            assert not await ledger.has(b"1")
            assert await store.counter.get("stock") == 1
            assert await store.streams.length("s") == 1
            assert await store.kv.get("a") is None
            assert await store.claim.holder("c") is None
            told = db.watch("#", view="*", since=await db.head())
            await buy(fail=False)
            order = await db.entries.get("orders:1")
            assert order is not None
            assert order.value == {"total": 42}
            assert await db.collection("orders").get("1") is not None
            assert await ledger.get(b"1") == b"42"
            # One commit told them all, in the order of the writes.
            changes = [
                (one.view, one.revision)
                for one in [await anext(told), await anext(told), await anext(told)]
            ]
            assert [view for view, _ in changes] == ["entries", "documents", "stores"]
            assert (await anext(told)).view == "state"
            assert len({revision for _, revision in changes}) == 1
            await told.aclose()
            assert await store.counter.get("stock") == 0
            assert [one.message for one in await store.streams.tail("s", 5)] == [0, 1]
            assert await store.kv.get("a") == 1

    run(main())


def test_who_was_faster_wins(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.counter.set("a", 1)
            tx = await db.transaction().begin()
            await store.on(tx).counter.increment("a")
            await store.counter.increment("a")
            with pytest.raises(Conflict):
                await tx.commit()
            assert await store.counter.get("a") == 2

            async def raise_it(tx: Any) -> int:
                return await store.on(tx).counter.increment("a")

            sums = await asyncio.gather(*(db.transact(raise_it, retries=50) for _ in range(10)))
            assert sorted(sums) == list(range(3, 13))

    run(main())


def test_what_is_published_inside_is_heard_after_the_commit(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            got: list[Any] = []
            await store.events.subscribe("a", lambda message: got.append(message.data))
            tx = await db.transaction().begin()
            await store.on(tx).events.publish("a", "never")
            await tx.rollback()
            async with db.transaction() as tx:
                await store.on(tx).events.publish("a", "in time")
                await asyncio.sleep(0.05)
                assert got == []
            await until(lambda: got == ["in time"])
            await store.close()

    run(main())


def test_a_snapshot_sees_its_moment(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            await store.kv.set("a", 1)
            await store.counter.set("c", 1)
            async with await db.snapshot() as moment:
                then = store.on(moment)
                await store.kv.set("a", 2)
                await store.counter.increment("c")
                assert await then.kv.get("a") == 1
                assert await then.counter.get("c") == 1
                assert (await then.dev.scan()).keys == ["a"]
            with pytest.raises(Unsupported, match="with_adapter"):
                build_store(MockStoreAdapter(), "api").on(moment)

    run(main())


def test_nothing_is_waited_for_inside(here: Open) -> None:
    async def main() -> None:
        async with here() as (db, store):
            group = store.streams.group("g", "c")
            await group.ensure("s")
            async with db.transaction() as tx:
                inside = store.on(tx)
                assert await inside.streams.group("g", "c").read("s") == []
                with pytest.raises(Unsupported, match="on the store itself"):
                    await inside.streams.group("g", "c").read("s", block=1)
                with pytest.raises(Unsupported, match="on the store itself"):
                    await inside.events.subscribe("a", print)

    run(main())
