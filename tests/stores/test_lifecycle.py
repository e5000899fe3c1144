"""What happens to stores is told by topic, once, when it has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    PatternInvalid,
    StoreClosed,
    VersionNotFound,
)
from holdfast.stores.lifecycle import StoreEvent
from tests.store.scene import Scene, until


class Seen:
    """The events of some topics."""

    def __init__(self, subscribe: Callable[..., Callable[[], None]], pattern: str) -> None:
        self.events: list[StoreEvent] = []
        self.end = subscribe(pattern, self.events.append)

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [one.payload for one in self.events]

    def topics(self) -> list[str]:
        return [one.topic for one in self.events]


@pytest.mark.row("E-104")
@pytest.mark.row("E-105")
async def test_made_and_deleted(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        made, gone = Seen(db.stores.subscribe, "store.created"), []
        path = str(kept_scene.folder / "app.db")

        async def when_deleted(event: StoreEvent) -> None:
            gone.append((event.name, await db.stores.exists(event.name)))

        db.stores.subscribe("store.deleted", when_deleted)
        await db.stores.create("ledger", "iavl")
        assert made.payloads == [
            {
                "name": "ledger",
                "at_ms": kept_scene.clock.now_ms(),
                "engine": kept_scene.engine,
                "path": path,
                "kind": "iavl",
            }
        ]
        assert Path(path).exists()  # noqa: ASYNC240 - nobody waits here
        await db.stores.delete("ledger")
        await until(lambda: bool(gone))
        assert gone == [("ledger", False)]
        made.end()
        await db.stores.create("other")
        assert len(made.events) == 1


@pytest.mark.row("E-106")
async def test_closing_twice_is_told_once(scene: Scene) -> None:
    async with scene.open() as db:
        seen = Seen(db.stores.subscribe, "store.closed")
        store = await db.stores.create("s")
        await store.close()
        await store.close()
        assert [one["name"] for one in seen.payloads] == ["s"]
        for name in ("a", "b"):
            await db.stores.create(name)
        await db.stores.close_all()
        assert sorted(one["name"] for one in seen.payloads) == ["a", "b", "s"]


@pytest.mark.row("E-107")
@pytest.mark.row("E-108")
async def test_versions_saved_and_loaded(scene: Scene) -> None:
    async with scene.open() as db:
        seen = Seen(db.stores.subscribe, "store.version.+")
        store = await db.stores.create("s", "iavl")
        await store.set(b"k", b"v")
        saved = await store.save_version()
        [told] = seen.payloads
        assert (told["version"], told["root"]) == (saved.number, saved.root)
        with pytest.raises(VersionNotFound):
            await store.load_version(7)
        assert len(seen.events) == 1
        await store.load_version(1)
        assert seen.topics() == ["store.version.saved", "store.version.loaded"]
        assert seen.payloads[1]["version"] == 1


@pytest.mark.row("E-109")
@pytest.mark.row("E-110")
@pytest.mark.row("E-111")
@pytest.mark.row("E-138")
async def test_transactions(scene: Scene) -> None:
    async with scene.open() as db:
        seen = Seen(db.stores.subscribe, "store.transaction.#")
        store = await db.stores.create("s")
        async with store.transaction() as tx:
            assert [one["transaction"] for one in seen.payloads] == [tx.id]
            await tx.set_many({b"a": b"1", b"b": b"2"})
            await tx.delete(b"a")
            await tx.delete(b"nope")
            async with tx.transaction() as inner:
                await inner.set(b"c", b"3")
            assert len(seen.events) == 1, "a savepoint is no transaction of its own"
        begin, commit = seen.payloads
        assert commit == {
            "name": "s", "at_ms": begin["at_ms"], "transaction": tx.id, "changes": 4,
            "revision": tx.revision,
        }  # fmt: skip
        # A transaction that cannot begin is not told.
        with pytest.raises(InvalidInput):
            store.transaction("wrong")
        assert len(seen.events) == 2
        # A commit that fails is a rollback.
        one = await store.transaction().begin()
        await one.set(b"b", await one.get(b"b") + b"+")
        await store.set(b"b", b"faster")
        with pytest.raises(Conflict):
            await one.commit()
        # What raises in the block, and a close, roll back.
        with pytest.raises(RuntimeError):
            await _raising(store)
        two = await store.transaction().begin()
        await two.set(b"lost", b"1")
        await two.close()
        await two.close()
        assert two.name == store.name
        assert not await store.has(b"lost")
        assert seen.topics()[2:] == [
            "store.transaction.begin", "store.transaction.rollback",
            "store.transaction.begin", "store.transaction.rollback",
            "store.transaction.begin", "store.transaction.rollback",
        ]  # fmt: skip
        assert seen.payloads[-1]["transaction"] == seen.payloads[-2]["transaction"]


async def _raising(store: Any) -> None:
    async with store.transaction() as tx:
        await tx.set(b"lost", b"1")
        raise RuntimeError


async def test_a_subscriber_that_raises_disturbs_nobody(scene: Scene) -> None:
    async with scene.open() as db:

        def raising(_event: StoreEvent) -> None:
            raise RuntimeError("not ours")

        db.stores.subscribe("store.#", raising)
        seen = Seen(db.stores.subscribe, "store.created")
        await db.stores.create("s")
        assert len(seen.events) == 1
        for wrong in ("store.nope", "", "#/x", 5, None):
            with pytest.raises(PatternInvalid):
                db.stores.subscribe(wrong, raising)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            db.stores.subscribe("store.#", 5)  # type: ignore[arg-type]


async def test_a_closed_handle_tells_nobody(scene: Scene) -> None:
    cancelled: list[bool] = []

    async def never(_event: StoreEvent) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with scene.open() as db:
        stores = db.stores
        stores.subscribe("store.#", never)
        await stores.create("s")
        await asyncio.sleep(0)
    assert cancelled == [True], "what was under way was ended"
    with pytest.raises(StoreClosed):
        stores.subscribe("store.#", never)
