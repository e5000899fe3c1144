"""The check of entries finds every kind of damage, and none in what this library wrote."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.contract.batch import Append, Batch, Delete, Operation, Put
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import Page, Range, Record
from holdfast.database.handle import Database
from holdfast.store import layout, views
from holdfast.store.check import check_rows
from holdfast.store.snapshot import SnapshotEngine
from tests.store.scene import Scene, engine_of, rows_of

CHUNK = 256 * 1024


async def write_everything(db: Database, scene: Scene) -> None:
    """Every kind of row there is."""
    entries = db.entries
    for number in range(3):
        await entries.set("people:ada", {"number": number}, tags=["vip", "early"], comment="why")
    await entries.set("people:soon", 1, ttl=5)
    await entries.set("people:big", "x" * (3 * CHUNK))
    await entries.set("people:big", b"x" * (2 * CHUNK))
    await entries.set("people:gone", [1, 2])
    await entries.delete("people:gone")
    await entries.set("people:back", 1)
    await entries.delete("people:back")
    await entries.set("people:back", 2, ttl=1000)
    await entries.rename("people:back", "people:moved")
    async with db.transaction() as transaction:
        for number in range(3):
            await transaction.entries.set("people:fast", number)
        await transaction.entries.delete("people:ada")
        await transaction.entries.set("people:ada", "again", tags=["late"])
        await transaction.entries.set("people:brief", 1)
        await transaction.entries.delete("people:brief")
    scene.clock.advance(10)


@pytest.mark.row("K-022")
async def test_all_is_well_in_what_was_written(scene: Scene) -> None:
    async with scene.open() as db:
        await write_everything(db, scene)
        assert await check_rows(db._require_shared(), engine_of(db)) == []
        await db.sweep()
        assert await check_rows(db._require_shared(), engine_of(db)) == []
        await db.entries.set("people:soon", 2)
        assert await check_rows(db._require_shared(), engine_of(db)) == []


async def test_what_retention_gave_up_is_not_missed(scene: Scene) -> None:
    async with scene.open() as db:
        await write_everything(db, scene)
        await db.retention.keep("people", versions=1)
        for number in range(5):
            await db.entries.set("people:ada", number)
        await db.retention.keep_feed(changes_max=3)
        assert (await db.compact()).changes > 3
        assert await check_rows(db._require_shared(), engine_of(db)) == []


async def test_it_is_part_of_the_check_of_the_database(scene: Scene) -> None:
    async with scene.handle() as db:
        await write_everything(db, scene)
        assert await db.check() == []
        [(key, _)] = await _rows(db, layout.EXPIRY, limit=1)
        await engine_of(db).commit(Batch([Delete(key)]))
        assert len(await db.check()) == 2


Damage = Callable[[Database], Awaitable[list[Operation]]]


async def _rows(
    db: Database, prefix: bytes, limit: int | None = None
) -> list[tuple[bytes, Record]]:
    return (await rows_of(db, Range.prefix(prefix)))[:limit]


def _region(which: bytes) -> bytes:
    return layout.region(1, which)


def _removed(prefix: bytes, place: int = 0) -> Damage:
    async def damage(db: Database) -> list[Operation]:
        return [Delete((await _rows(db, prefix))[place][0])]

    return damage


def _stray(key: bytes) -> Damage:
    async def damage(db: Database) -> list[Operation]:
        return [Put(key, b"")]

    return damage


def _changed(prefix: bytes, at: int, place: int = 0) -> Damage:
    async def damage(db: Database) -> list[Operation]:
        key, record = (await _rows(db, prefix))[place]
        value = bytearray(record.value)
        value[at] ^= 0x01
        return [Put(key, bytes(value))]

    return damage


async def _written_without_a_change(db: Database) -> list[Operation]:
    key, record = (await _rows(db, _region(layout.DATA)))[0]
    return [Put(key, record.value)]


async def _a_change_told_twice(db: Database) -> list[Operation]:
    _, record = (await _rows(db, layout.FEED))[0]
    return [Append(layout.FEED, record.value)]


async def _a_grave_of_the_living(db: Database) -> list[Operation]:
    key, _ = (await _rows(db, _region(layout.DATA)))[0]
    _, grave = (await _rows(db, _region(layout.GRAVE)))[0]
    return [Put(_region(layout.GRAVE) + key[layout.REGION_BYTES :], grave.value)]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "an entry": (_removed(_region(layout.DATA)), "neither living nor past"),
    "the digest of a value": (_changed(_region(layout.DATA), 40), "does not match its digest"),
    "a value": (_changed(_region(layout.DATA), -1), "digest|cannot be read"),
    "the format of an entry": (_changed(_region(layout.DATA), 0), "cannot be read"),
    "the version of an entry": (_changed(_region(layout.DATA), 9), "does not follow"),
    "a past version": (_removed(_region(layout.HISTORY)), "none before it|neither living nor past"),
    "a past version's place": (_changed(_region(layout.HISTORY), 19), "says it is another"),
    "a grave": (_removed(_region(layout.GRAVE)), "keys lead to"),
    "what a grave says": (_changed(_region(layout.GRAVE), -15), "past|cannot be read|lead to"),
    "a grave of the living": (_a_grave_of_the_living, "lives and has a grave"),
    "a chunk": (_removed(_region(layout.BLOB)), "chunks of the value"),
    "a byte of a chunk": (_changed(_region(layout.BLOB), 100), "does not match its digest"),
    "a tag": (_removed(_region(layout.TAG)), "the tags or the expiry"),
    "a row of expiry": (_removed(layout.EXPIRY), "the tags or the expiry"),
    "a stray chunk": (_stray(_region(layout.BLOB) + b"stray"), "chunks of big values"),
    "a stray tag": (_stray(_region(layout.TAG) + b"stray"), "rows of tags"),
    "a stray past": (_stray(_region(layout.HISTORY) + bytes(28)), "past versions"),
    "a stray expiry": (_stray(layout.expiry_key(1, _region(layout.DATA))), "rows of expiry"),
    "a change": (_removed(layout.FEED), "the feed tells of"),
    "the last change": (_removed(layout.FEED, -1), "the feed tells of"),
    "the bytes of a change": (_changed(layout.FEED, 0), "the feed row at revision"),
    "a change told twice": (_a_change_told_twice, "written by another commit"),
    "a write without a change": (_written_without_a_change, "the feed tells of"),
}


@pytest.mark.row("K-022")
@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_is_found(scene: Scene, what: str) -> None:
    damage, told = DAMAGES[what]
    async with scene.handle() as db:
        await write_everything(db, scene)
        engine = engine_of(db)
        before = await rows_of(db)
        await engine.commit(Batch(await damage(db)))
        assert await rows_of(db) != before
        faults = await check_rows(db._require_shared(), engine)
        assert faults, f"{what}: not noticed"
        _assert_told(faults, told)


async def test_findings_are_limited(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FAULTS_MAX", 5)
    async with scene.handle() as db:
        await db.entries.set_many({f"people:{number}": number for number in range(20)})
        rows: list[Operation] = [Delete(key) for key, _ in await _rows(db, layout.FEED)]
        damaged = [
            Put(key, record.value[:-1] + b"\xc1")
            for key, record in await _rows(db, _region(layout.DATA))
        ]
        await engine_of(db).commit(Batch([*rows, *damaged]))
        faults = await check_rows(db._require_shared(), engine_of(db))
        assert len(faults) == 6
        assert "more than 5" in faults[-1]


def _assert_told(faults: list[str], told: str) -> None:
    import re

    assert any(re.search(told, fault) for fault in faults), faults


async def test_rows_that_keyspaces_share_are_read_once_for_all(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feed and expiry: else a database of many collections is never checked to its end."""
    async with scene.open() as db:
        for number in range(12):
            await db.collection(f"c{number}").set("a", {"n": number}, ttl=1000)
            store = await db.stores.create(f"s{number}")
            await store.set(b"a", b"1", ttl=1000)
        await db.entries.set("a", 1, ttl=1000)
        walked: list[bytes] = []
        scan = SnapshotEngine.scan

        async def counted(self: SnapshotEngine, range: Range, **more: Any) -> Page:
            walked.append((range.start or b"")[:1])
            return await scan(self, range, **more)

        monkeypatch.setattr(SnapshotEngine, "scan", counted)
        assert await check_rows(db._require_shared(), engine_of(db)) == []
        assert walked.count(layout.FEED) == 2  # Its first row is asked for, and then all.
        assert walked.count(layout.EXPIRY) == 1


@pytest.mark.parametrize("failure", [IntegrityFailed("the page is damaged"), struct.error("short")])
async def test_what_cannot_be_read_of_shared_rows_is_told_with_the_rest(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async with scene.handle() as db:
        await db.entries.set("a", 1, ttl=1000)
        [(feed_row, _)] = await _rows(db, layout.FEED)
        await engine_of(db).commit(Batch([Delete(feed_row)]))
        scan = SnapshotEngine.scan

        async def failing(self: SnapshotEngine, range: Range, **more: Any) -> Page:
            if (range.start or b"").startswith(layout.EXPIRY):
                raise failure
            return await scan(self, range, **more)

        monkeypatch.setattr(SnapshotEngine, "scan", failing)
        faults = await check_rows(db._require_shared(), engine_of(db))
        _assert_told(faults, "the page is damaged|expiry cannot be checked further: error")
        _assert_told(faults, "the feed tells of 0 of 1 entries")
