"""The walk over keys alone: what it gives, and what it leaves unread."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import holdfast.sync
from holdfast.contract.engine import Layer, Snapshot
from holdfast.contract.errors import InvalidInput, InvalidKey, StoreNotFound
from holdfast.contract.record import Record
from holdfast.store.versions.chunks import CHUNK_BYTES
from tests.store.scene import Scene, listed


class Counting(Layer):
    """Counts the keys that are read by name, as the chunks of a big value are."""

    keys_read = 0

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        Counting.keys_read += len(keys)
        return await super().read(keys, at=at)


@pytest.mark.parametrize("kind", ["plain", "iavl"])
async def test_keys_are_those_of_the_walk_over_pairs(scene: Scene, kind: str) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s", kind)
        await store.set_many({b"%03d" % number: b"v" for number in range(300)})
        for bounds in ((None, None), (b"010", b"250"), (b"299", None), (b"5", b"4")):
            for ascending in (True, False):
                for limit in (None, 0, 1, 120):
                    start, end = bounds
                    pairs = store.iterate_range(start, end, ascending, limit=limit)
                    keys = await listed(store.keys(start, end, ascending, limit=limit))
                    assert keys == [key async for key, _ in pairs]


async def test_keys_of_mounted_stores(scene: Scene) -> None:
    async with scene.open() as db:
        base, other = await db.stores.create("base"), await db.stores.create("other")
        await base.set_many({b"a": b"", b"m/hidden": b"", b"z": b""})
        await other.set_many({b"1": b"", b"2": b""})
        mounted = base.mount(b"m/", other)
        assert await listed(mounted.keys()) == [b"a", b"m/1", b"m/2", b"z"]
        assert await listed(mounted.keys(ascending=False, limit=2)) == [b"z", b"m/2"]
        assert await listed(base.under(b"m/").keys()) == [b"hidden"]


async def test_keys_read_no_big_value_and_show_no_expired_one(scene: Scene) -> None:
    async with scene.open(layers=(Counting,)) as db:
        store = await db.stores.create("s")
        await store.set(b"big", bytes(4 * CHUNK_BYTES))
        await store.set(b"short-lived", b"1", ttl=1)
        Counting.keys_read = 0
        assert await listed(store.keys()) == [b"big", b"short-lived"]
        scene.clock.advance(2)
        assert await listed(store.keys()) == [b"big"]
        assert Counting.keys_read == 0
        assert len(await listed(store.iterate())) == 1
        assert Counting.keys_read >= 4


async def test_keys_refuse_what_cannot_be(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("s")
        with pytest.raises(InvalidKey):
            await anext(store.keys("text"))  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await anext(store.keys(limit=-1))
        async with db.transaction() as transaction:
            inside = await transaction.stores.get("s")
            await inside.set(b"k", b"v")
            assert await listed(inside.keys()) == [b"k"]
        await db.stores.delete("s")
        with pytest.raises(StoreNotFound):
            await anext(store.keys())


def test_the_twin_walks_too() -> None:
    with holdfast.sync.open("memory://") as db:
        store = db.stores.create("s")
        store.set_many({b"a": b"1", b"b": b"2"})
        assert list(store.keys(ascending=False)) == [b"b", b"a"]
