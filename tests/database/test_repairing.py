"""What follows from the values is mended from them; what does not is left, and told."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import ReadOnly
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from holdfast.documents.indexing import build as building
from holdfast.store import layout
from holdfast.store.versions.past_rows import Grave, pack_grave
from tests.store.scene import Scene, engine_of, rows_of


async def keys_of(db: Database, view: str, region: bytes) -> list[bytes]:
    """The keys of a region of the only keyspace of a view."""
    [keyspace] = [one async for one in db._require_shared().keyspaces.list(view)]
    prefix = layout.region(keyspace.number, region)
    return [key for key, _ in await rows_of(db, Range.prefix(prefix))]


async def test_rows_that_follow_from_values_are_mended(scene: Scene) -> None:
    async with scene.open() as db:
        for number in range(5):
            await db.entries.set(f"users:{number}", number, tags=["red", "green"], ttl=900)
        cities = db.collection("cities")
        await cities.create_index("by population", "population")
        await cities.create_index("by words", "name", kind="text")
        for number in range(5):
            await cities.set(f"c{number}", {"population": number, "name": "old town"}, ttl=900)
        assert await db.repair() == []
        rows = [key for key, _ in await rows_of(db)]
        engine = engine_of(db)
        data = await keys_of(db, "entries", layout.DATA)
        tags = await keys_of(db, "entries", layout.TAG)
        indexed = await keys_of(db, "documents", b"I")
        expiries = [key for key in rows if key.startswith(layout.EXPIRY)]
        grave = data[0][:5] + layout.GRAVE + data[0][6:]
        await engine.commit(
            Batch(
                [
                    Delete(tags[0]),
                    Put(tags[1] + b"stray", b""),
                    Put(tags[1][:6] + b"no tag", b""),
                    Delete(expiries[0]),
                    Put(layout.expiry_key(77, data[1]), b""),
                    Put(grave, pack_grave(Grave(b"i" * 16, 1, 5))),
                    Delete(indexed[0]),
                    Put(indexed[-1] + b"stray", b""),
                ]
            )
        )
        assert len(await db.check()) > 3
        told = await db.repair()
        for words in (
            "made a row of tags", "removed a row of tags", "made a row of expiry",
            "removed a row of expiry", "removed a grave", "built the index 'by population'",
        ):  # fmt: skip
            assert any(words in line for line in told), (words, told)
        assert await db.check() == []
        assert await db.repair() == []
        assert await keys_of(db, "entries", layout.TAG) == tags
        found = [one.key async for one in cities.query(population=0)]
        assert found == ["c0"]


@pytest.mark.parametrize("step", ["finish_drops", "build"])
async def test_an_index_whose_mending_is_broken_off_is_not_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def interrupted(*_arguments: object) -> None:
        raise asyncio.CancelledError

    async with scene.open() as db:
        cities = db.collection("cities")
        await cities.create_index("by population", "population", unique=True)
        await cities.set("c1", {"population": 1})
        await engine_of(db).commit(Batch([Delete((await keys_of(db, "documents", b"I"))[0])]))
        with monkeypatch.context() as patch:
            patch.setattr(building, step, interrupted)
            with pytest.raises(asyncio.CancelledError):
                await db.repair()
        [index] = await cities.list_indexes()
        assert (index.name, index.unique, index.state) == ("by population", True, "building")
        await cities.create_index("by population", "population", unique=True)
        assert [one.state for one in await cities.list_indexes()] == ["ready"]
        assert await db.check() == []
        assert [one.key async for one in cities.query(population=1)] == ["c1"]


async def test_a_damaged_value_is_left_and_told(kept_scene: Scene) -> None:
    async with kept_scene.open_unchecked() as db:
        await db.entries.set("users:1", {"n": 1}, tags=["red"])
        [data_key] = await keys_of(db, "entries", layout.DATA)
        [record] = await engine_of(db).read([data_key])
        assert record is not None
        await engine_of(db).commit(Batch([Put(data_key, record.value[:-1] + b"?")]))
        before = await db.check()
        assert before
        assert await db.repair() == []
        assert await db.check() == before
        [after] = await engine_of(db).read([data_key])
        assert after is not None
        assert after.value == record.value[:-1] + b"?"
    async with kept_scene.handle(read_only=True) as db:
        with pytest.raises(ReadOnly):
            await db.repair()
