"""A moment between two backups is restored from the past, or it is said why it cannot be."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import InvalidInput, QuotaExceeded, VersionNotFound
from holdfast.contract.record import Record
from holdfast.database.handle import Database
from holdfast.store import layout
from tests.store.scene import Scene, listed, rows_of, url_of

#: Regions of index rows, which are built anew, and what the directory says.
INDEXES = (b"C", b"I")


async def told_rows(db: Database) -> dict[bytes, Any]:
    """The rows that come back as they were; of tags and expiries the keys only."""
    found: dict[bytes, Any] = {}
    for key, record in await rows_of(db):
        region = key[layout.REGION_BYTES - 1 : layout.REGION_BYTES]
        if key.startswith(layout.SYSTEM) or (key[:1] == layout.KEYSPACE and region in INDEXES):
            continue
        derived = key.startswith(layout.EXPIRY) or region == layout.TAG
        found[key] = record.value if derived else Record(record.value, record.revision)
    return found


async def some_writes(db: Database, chance: random.Random) -> None:
    """One commit, or two, of entries and documents."""
    key = f"users/active:{chance.randrange(12)}"
    cities = db.collection("cities")
    what = chance.randrange(8)
    if what < 3:
        await db.entries.set(
            key, {"n": chance.random()}, tags=chance.sample(["red", "green", "blue"], 2),
            ttl=chance.choice([None, 60, 5000]), modified_by="ada",
        )  # fmt: skip
    elif what == 3:
        await db.entries.delete(key)
    elif what == 4:
        if await db.entries.has(key):
            await db.entries.rename(key, f"users/moved:{chance.randrange(1_000_000)}")
    elif what == 5:
        await db.entries.set(f"big:{chance.randrange(2)}", chance.randbytes(300_000))
    elif what == 6:
        await cities.set(f"c{chance.randrange(8)}", {"population": chance.randrange(5)})
    else:
        await cities.delete(f"c{chance.randrange(8)}")


async def restored(scene: Scene, files: list[Path], at: Any) -> Database:
    folder = scene.folder / f"restored-{len(list(scene.folder.iterdir()))}"
    folder.mkdir()
    url = url_of(scene.engine, folder)
    done = await holdfast.restore(files, url, at=at, components=scene.components)
    if isinstance(at, int):
        assert done.revision == at
    return scene.handle(url)


@pytest.mark.row("E-134")
@pytest.mark.parametrize("seed", [1])
async def test_each_revision_between_a_full_backup_and_three_more_is_restored(
    kept_scene: Scene, seed: int
) -> None:
    chance = random.Random(seed)
    moments: dict[int, tuple[datetime, dict[bytes, Any], dict[str, Any]]] = {}
    files: list[Path] = []
    async with kept_scene.open() as db:
        cities = db.collection("cities")
        await cities.create_index("by population", "population")
        await db.entries.set("users/active:0", 0)
        files.append(kept_scene.folder / "0")
        await db.backup(files[0])
        for number in range(1, 4):
            for _ in range(8):
                await some_writes(db, chance)
                kept_scene.clock.advance(chance.choice([1, 30]))
                await db.sweep()
                instant = datetime.fromtimestamp(kept_scene.clock.now_ms() / 1000, UTC)
                documents = {one.key: one.value for one in await listed(cities.query())}
                moments[await db.head()] = instant, await told_rows(db), documents
                kept_scene.clock.advance(1)
            files.append(kept_scene.folder / str(number))
            await db.backup(files[-1], since=files[-2])
    for revision in chance.sample(sorted(moments), 5):
        instant, rows, documents = moments[revision]
        for at in (revision, instant):
            async with await restored(kept_scene, chance.sample(files, 4), at) as db:
                assert await told_rows(db) == rows
                assert await db.check() == []
                cities = db.collection("cities")
                assert {one.key: one.value for one in await listed(cities.query())} == documents
                for n in range(5):
                    found = {one.key for one in await listed(cities.query(population=n))}
                    assert found == {k for k, v in documents.items() if v["population"] == n}
                [index] = await cities.list_indexes()
                assert index.state == "ready"
                assert (await db.entries.set("new:1", 1)).revision > revision


async def test_what_keeps_no_past_is_named(kept_scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "full"
    async with kept_scene.open() as db:
        before = (await db.entries.set("a:1", 1)).revision
        store = await db.stores.create("ledger")
        await store.set(b"key", b"value")
        await db.entries.set("a:1", 2)
        await db.backup(file)
        now = await db.head()
    with pytest.raises(VersionNotFound, match=r"keep no past .* stores 'ledger'"):
        await restored(kept_scene, [file], before)
    async with await restored(kept_scene, [file], now - 1) as db:
        assert (await db.entries.require("a:1")).value == 1
        assert await (await db.stores.get("ledger")).get(b"key") == b"value"
    with pytest.raises(VersionNotFound, match="older than that"):
        await restored(kept_scene, [file], now + 1)
    with pytest.raises(InvalidInput, match="found both"):
        await holdfast.restore([file], "memory://", to=1, at=1)


async def test_more_changes_than_are_taken_back_are_told(
    kept_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.backups.rewinding.KEYS_MAX", 2)
    async with kept_scene.open() as db:
        for n in range(4):
            first = (await db.entries.set(f"a:{n}", n)).revision - 3
        await db.backup(tmp_path / "full")
    with pytest.raises(QuotaExceeded, match="more than 2 keys"):
        await restored(kept_scene, [tmp_path / "full"], first)
    async with await restored(kept_scene, [tmp_path / "full"], first + 1) as db:
        assert [key async for key in db.entries.keys("#")] == ["a:0", "a:1"]


async def test_what_was_given_up_is_told(kept_scene: Scene, tmp_path: Path) -> None:
    async with kept_scene.open() as db:
        first = (await db.entries.set("a:1", 1)).revision
        second = (await db.entries.set("a:1", 2)).revision
        await db.entries.set("a:1", 3)
        await db.retention.purge("a:1")
        await db.entries.set("a:2", 1)
        await db.backup(tmp_path / "purged")
        await db.retention.keep_feed(changes_max=1)
        await db.compact()
        await db.backup(tmp_path / "trimmed")
    with pytest.raises(VersionNotFound, match="was given up"):
        await restored(kept_scene, [tmp_path / "purged"], second)
    with pytest.raises(VersionNotFound, match="no longer reaches back"):
        await restored(kept_scene, [tmp_path / "trimmed"], first)
    with pytest.raises(VersionNotFound, match="begins at revision"):
        await restored(kept_scene, [tmp_path / "trimmed"], datetime(2000, 1, 1, tzinfo=UTC))
