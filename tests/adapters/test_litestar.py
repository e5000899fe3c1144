"""The contract of Litestar's stores, written out: its own tests are in no wheel. And in use."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, get, post
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.base import NamespacedStore
from litestar.stores.registry import StoreRegistry
from litestar.testing import TestClient

import holdfast
from holdfast.adapters.litestar import LitestarStore
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue, StoreClosed
from holdfast.contract.runtime import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(async_db: holdfast.Database) -> LitestarStore:
    return LitestarStore(async_db)


async def test_values(store: LitestarStore) -> None:
    assert isinstance(store, NamespacedStore)
    assert await store.get("k") is None
    assert await store.exists("k") is False
    assert await store.expires_in("k") is None
    await store.delete("k")
    await store.set("k", b"\0bytes")
    await store.set("text", "grüß")
    assert await store.get("k") == b"\0bytes"
    assert await store.get("text") == "grüß".encode()
    assert await store.exists("k") is True
    assert await store.expires_in("k") == -1
    await store.set("k", b"")
    assert await store.get("k") == b""
    await store.delete("k")
    assert await store.get("k") is None


async def test_times_to_live() -> None:
    clock = ManualClock()
    async with holdfast.open("memory://", clock=clock, housekeeping=False) as db:
        store = LitestarStore(db, clock=clock)
        await store.set("number", b"1", expires_in=10)
        await store.set("delta", b"2", expires_in=timedelta(seconds=10))
        await store.set("zero", b"3", expires_in=0)
        assert await store.expires_in("number") == 10
        clock.advance(9)
        assert await store.expires_in("delta") == 1
        assert await store.get("number", renew_for=timedelta(seconds=30)) == b"1"
        assert await store.get("zero", renew_for=30) == b"3"
        clock.advance(5)
        assert await store.get("delta") is None
        assert await store.get("delta", renew_for=30) is None
        assert await store.expires_in("delta") is None
        assert await store.expires_in("number") == 25
        assert await store.expires_in("zero") == -1
        clock.advance(25)
        assert await store.exists("number") is False


async def test_namespaces(store: LitestarStore) -> None:
    child, other = store.with_namespace("a"), store.with_namespace("ab")
    deep = child.with_namespace("b")
    for number, one in enumerate((store, child, other, deep)):
        await one.set("k", b"%d" % number)
    await store.set("a", b"the name of a namespace is a key like any other")
    await store.set("a\0b", b"and so is this")
    await child.delete_all()
    assert [await one.get("k") for one in (store, child, other, deep)] == [b"0", None, b"2", None]
    assert await store.exists("a")
    assert await store.exists("a\0b")
    await store.delete_all()
    assert await other.get("k") is None
    assert not await store.exists("a")


async def test_many_keys_are_removed(store: LitestarStore) -> None:
    raw = await store._place.store()
    await raw.set_many({store._key(str(number)): bytes(8) for number in range(2_100)})
    await store.delete_all()
    assert await raw.count() == 0


async def test_bad_input_is_named(store: LitestarStore) -> None:
    with pytest.raises(InvalidValue):
        await store.set("k", 7)  # type: ignore[arg-type]
    with pytest.raises(InvalidKey):
        await store.set(7, b"1")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        await store.set("k", b"1", expires_in=-1)
    assert not await store.exists("k")


async def test_tasks_that_renew_at_once_agree(store: LitestarStore) -> None:
    await store.set("k", b"1", expires_in=50)
    found = await asyncio.gather(*(store.get("k", renew_for=100) for _ in range(20)))
    assert set(found) == {b"1"}
    remaining = await store.expires_in("k")
    assert remaining is not None
    assert remaining > 90


async def test_tasks_that_come_first_open_one_database(tmp_path: Path) -> None:
    store = LitestarStore(f"lmdb:///{tmp_path}/app")
    await asyncio.gather(*(store.set(str(number), b"1") for number in range(20)))
    [opened] = store._place._loops.values()
    database = opened.database
    assert database is not None
    await store.__aexit__(None, None, None)
    with pytest.raises(StoreClosed):
        await database.entries.get("k")
    assert await store.get("7") == b"1"  # Opened again.
    await store._place.close()
    with pytest.raises(InvalidInput, match="address"):
        LitestarStore(7)  # type: ignore[arg-type]


def make_app(address: str) -> Litestar:
    @post("/")
    async def put(request: Request[Any, Any, Any]) -> None:
        request.session["visits"] = request.session.get("visits", 0) + 1

    @get("/", cache=60)
    async def look(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return dict(request.session)

    root = LitestarStore(address)
    return Litestar(
        route_handlers=[put, look],
        stores=StoreRegistry({"root": root}, default_factory=root.with_namespace),
        middleware=[ServerSideSessionConfig().middleware],
    )


def test_sessions_and_cached_responses_outlive_the_application(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/app.db"
    with TestClient(make_app(address)) as client:
        client.post("/")
        client.post("/")
        assert client.get("/").json() == {"visits": 2}
        cookies = dict(client.cookies)
    with TestClient(make_app(address)) as client:
        client.cookies.update(cookies)
        client.post("/")
        assert client.get("/").json() == {"visits": 2}  # The response was cached for a minute.
        assert client.get("/?fresh=1").json() == {"visits": 3}
