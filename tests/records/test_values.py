"""Big values: stored in chunks, read whole, and not at all by who only asks whether they exist."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from holdfast import Conflict, StoreKey, digest
from holdfast.contract.engine import Layer, Snapshot
from holdfast.contract.record import Record
from holdfast.database.handle import Database
from holdfast.store.versions.chunks import CHUNK_BYTES
from tests.store.scene import Scene, core_of, engine_of, listed, rows_of, storage_of


class Counting(Layer):
    """Counts the bytes that are read."""

    bytes_read = 0

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await self.inner.read(keys, at=at)
        self.bytes_read += sum(len(one.value) for one in records if one is not None)
        return records


BIG: dict[str, Any] = {
    "just below a chunk, as text": "x" * (CHUNK_BYTES - 6),
    "just a chunk, as text": "x" * CHUNK_BYTES,
    "just above a chunk, as text": "x" * (CHUNK_BYTES + 1),
    "just a chunk, as bytes": b"\xff" * CHUNK_BYTES,
    "just above a chunk, as bytes": b"\xff" * (CHUNK_BYTES + 1),
    "two chunks and a byte": b"\0" * (2 * CHUNK_BYTES + 1),
    "wide characters": "\U0001f600é" * 100_000,
    "1 MB of text": "0123456789abcdef" * 65_536,
    "5 MB of bytes": bytes(range(256)) * 20_480,
    "many small parts": [[n, str(n), None] for n in range(60_000)],
    "big part of a document": {"name": "a", "blob": b"\1" * 700_000, "list": [1]},
    "nested list": {"rows": [{"n": n} for n in range(40_000)]},
}


@pytest.mark.row("trap 28", "K-010")
@pytest.mark.parametrize("name", BIG)
async def test_big_values_come_back_whole(scene: Scene, name: str) -> None:
    value = BIG[name]
    async with scene.open() as db:
        made = await db.entries.set("a:big", value)
        found = await db.entries.require("a:big")
        for entry in (made, found):
            assert entry.value == value
            assert type(entry.value) is type(value)
            assert entry.metadata.data_hash == digest(value).hex
        assert found == made


@pytest.mark.parametrize("size", [3, 2_000_000])
async def test_the_digest_does_not_depend_on_how_it_is_stored(kept_scene: Scene, size: int) -> None:
    value = {"text": "ab" * size, "n": [1, 2.5, None]}
    hashes = set()
    for serializer in ("msgpack", "json"):
        for compression in ("none", "gzip", "lz4", "snappy", "zstd"):
            async with kept_scene.open(serializer=serializer, compression=compression) as db:
                key = f"{serializer}:{compression}"
                hashes.add((await db.entries.set(key, value)).metadata.data_hash)
    assert hashes == {digest(value).hex}
    async with kept_scene.open() as db:
        for entry in await listed(db.entries.items()):
            assert entry.value == value
        assert await db.entries.count() == 10


@pytest.mark.row("E-013")
async def test_has_count_and_keys_read_no_chunk(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a:big", "x" * 5_000_000)
        counting = Counting(engine_of(db))
        view = core_of(db, storage=storage_of(db).on(counting))
        assert await view.has("a:big")
        assert await view.count() == 1
        assert await listed(view.keys("a/#")) == [StoreKey.parse("a:big")]
        assert counting.bytes_read < 1000
        assert (await view.require("a:big")).value == "x" * 5_000_000
        assert counting.bytes_read > 5_000_000


async def test_big_values_take_part_in_everything(scene: Scene) -> None:
    one, two = "1" * 600_000, ["2"] * 200_000
    async with scene.open() as db:
        await db.entries.set_many({"a": one, "b": 1, "c": two})
        await db.entries.modify("a", lambda value: value + "x")
        await db.entries.touch("c", ttl=60)
        await db.entries.rename("a", "d")
        many = await db.entries.get_many(["d", "c"])
        assert [many[StoreKey.parse(key)].value for key in ("d", "c")] == [one + "x", two]
        assert [entry.value for entry in await listed(db.entries.items())] == [1, two, one + "x"]
        assert [past.value for past in await listed(db.entries.history("d"))] == [one, one + "x"]
        async with db.transaction() as tx:
            assert (await tx.entries.require("d")).value == one + "x"
            await tx.entries.set("e", two)
            assert (await tx.entries.require("e")).value == two
            await tx.entries.modify("d", lambda value: value[:3])
        assert (await db.entries.require("e")).value == two
        assert (await db.entries.require("d")).value == "111"
        async with await db.snapshot() as view:
            await db.entries.delete("c")
            assert (await view.entries.require("c")).value == two
        assert (await db.entries.undelete("c")).value == two
        past = await db.entries.get("d", version=1)
        assert past is not None
        assert past.value == one


async def test_a_refused_big_write_leaves_no_chunk(scene: Scene) -> None:
    async with scene.open() as db:
        made = await db.entries.set("a", 1)
        before = await rows_of(db)
        for _ in range(3):
            with pytest.raises(Conflict):
                await db.entries.set("a", "x" * 1_000_000, if_revision=made.revision + 1)
        assert await rows_of(db) == before


@pytest.mark.row("K-116")
async def test_readers_never_see_a_half_written_value(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", "0" * 300_000)
        seen = set()
        done = False

        async def read(handle: Database) -> None:
            while not done:
                entry = await handle.entries.require("a")
                assert digest(entry.value).hex == entry.metadata.data_hash
                assert len(set(entry.value)) == 1
                seen.add(entry.value[0])
                await asyncio.sleep(0)

        readers = [asyncio.ensure_future(read(db)) for _ in range(2)]
        for n in range(1, 25):
            await db.entries.set("a", str(n % 10) * (300_000 + n))
            await asyncio.sleep(0)
        done = True
        await asyncio.gather(*readers)
        assert len(seen) > 1
