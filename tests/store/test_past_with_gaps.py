"""Reading the past where retention has left gaps: the right version, or that it is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from holdfast.codecs import envelope
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import VersionNotFound
from holdfast.contract.record import Range
from holdfast.database.handle import Database
from holdfast.store import layout
from holdfast.store.versions.past_rows import past_parts
from tests.store.scene import Scene, engine_of, listed, rows_of, storage_of

Read = Callable[..., Any]
GONE = "gone"


async def read_at(db: Database, key: str, **at: Any) -> Any:
    """The value of a key at a moment, None, or GONE."""
    try:
        entry = await db.entries.get(key, **at)
    except VersionNotFound:
        return GONE
    return None if entry is None else entry.value


def instant_of(scene: Scene) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=scene.clock.now_ms())


async def life(scene: Scene, db: Database) -> list[tuple[int, datetime, Any]]:
    """(revision, instant, value) of each moment of a key with two incarnations."""
    moments: list[tuple[int, datetime, Any]] = [(await db.head(), instant_of(scene), None)]

    async def then(value: Any) -> None:
        moments.append((await db.head(), instant_of(scene), value))
        scene.clock.advance(1)
        await db.entries.set("other", value)  # A revision and an instant between.
        moments.append((await db.head(), instant_of(scene), value))
        scene.clock.advance(1)

    scene.clock.advance(1)
    for value in range(4):
        await db.entries.set("a", value)
        await then(value)
    await db.entries.delete("a")
    await then(None)
    for value in range(10, 13):
        await db.entries.set("a", value)
        await then(value)
    return moments


async def test_gaps_never_make_a_wrong_answer(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        moments = await life(scene, db)
        rows = storage_of(db)._rows
        identity = (await db.entries.require("a")).metadata.identity
        engine = engine_of(db)
        places = [(1, n) for n in range(1, 5)] + [(2, 1), (2, 2)]
        keys = [rows.past_key(identity, *place) for place in places]
        assert None not in await engine.read(keys)
        read = engine.read
        scan = engine.scan
        for count in range(len(keys) + 1):
            for missing in combinations(keys, count):
                gone = set(missing)

                async def reading(wanted: Any, *, at: Any = None, gone: Any = gone) -> Any:
                    found = await read(wanted, at=at)
                    return [
                        None if key in gone else one for key, one in zip(wanted, found, strict=True)
                    ]

                async def scanning(range: Any, *, at: Any = None, gone: Any = gone) -> Any:
                    page = await scan(replace(range, limit=None), at=at)
                    left = [row for row in page.rows if row[0] not in gone]
                    return page._replace(rows=left[: range.limit])

                history = storage_of(db)._history
                history._engine = _Seen(engine, reading, scanning)  # type: ignore[assignment]
                for revision, instant, value in moments:
                    ms = round(instant.timestamp() * 1000)
                    for place in ({"revision": revision, "instant_ms": None},
                                  {"revision": None, "instant_ms": ms}):  # fmt: skip
                        try:
                            entry = await history.at("a", **place)
                            found = None if entry is None else entry.value
                        except VersionNotFound:
                            assert gone, "with its whole past every moment can be read"
                            found = GONE
                        assert found in (value, GONE), (place, value, [keys.index(k) for k in gone])


class _Seen:
    """The engine without some rows."""

    def __init__(self, engine: Any, read: Read, scan: Read) -> None:
        self.read, self.scan, self.head = read, scan, engine.head


async def test_a_kept_version_behind_a_gap_is_found(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        revisions = [(await db.entries.set("a", n)).revision for n in range(1, 16)]
        rows = storage_of(db)._rows
        identity = (await db.entries.require("a")).metadata.identity
        gap = [Delete(rows.past_key(identity, 1, version)) for version in range(7, 12)]
        await engine_of(db).commit(Batch(gap))
        found = [await read_at(db, "a", at=revision) for revision in revisions]
        assert found == [1, 2, 3, 4, 5, 6, *[GONE] * 5, 12, 13, 14, 15]


async def test_what_a_policy_gave_up_is_gone_and_not_something_else(scene: Scene) -> None:
    async with scene.open() as db:
        await db.retention.keep("few", versions=2)
        await db.retention.keep("none", versions=0)
        start = await db.head()
        for namespace in ("few", "none"):
            revisions = [(await db.entries.set(f"{namespace}:a", n)).revision for n in range(6)]
            found = [await read_at(db, f"{namespace}:a", at=one) for one in revisions]
            lost = 3 if namespace == "few" else 5
            assert found == [*[GONE] * lost, *range(lost, 6)]
        assert await read_at(db, "few:a", at=start) == GONE
        assert await read_at(db, "never", at=start) is None


@pytest.mark.parametrize("policy", [{"versions": 2}, {"versions": 0}, {"values": "none"}], ids=str)
async def test_a_policy_reaches_what_was_written_before_it(
    scene: Scene, policy: dict[str, Any]
) -> None:
    async with scene.open() as db:
        for n in range(6):
            await db.entries.set("a:x", n)
        await db.retention.keep("a", **policy)
        await db.compact()
        past = await listed(db.entries.history("a:x"))
        assert len(past) == policy.get("versions", 5)
        if "values" in policy:
            assert not any(one.has_value for one in past)


async def test_a_deleted_keys_moments_are_gone_or_empty(scene: Scene) -> None:
    async with scene.open() as db:
        start = await db.head()
        await db.entries.set("a:x", 1)
        standing = await db.head()
        await db.entries.delete("a:x")
        deleted = await db.head()
        assert [await read_at(db, "a:x", at=one) for one in (start, standing, deleted)] == [
            None, 1, None,
        ]  # fmt: skip
        await db.retention.keep("a", versions=0)
        await db.compact()
        assert [await read_at(db, "a:x", at=one) for one in (start, standing, deleted)] == [
            GONE, GONE, None,
        ]  # fmt: skip


async def test_a_renamed_value_was_where_it_was(scene: Scene) -> None:
    async with scene.open() as db:
        moments: list[tuple[int, datetime, dict[str, Any]]] = []
        standing: dict[str, Any] = {}

        async def then(**changed: Any) -> None:
            standing.update(changed)
            moments.append((await db.head(), instant_of(scene), dict(standing)))
            scene.clock.advance(1)

        await then(a=None, b=None, c=None, aa=None)
        for n in range(3):
            await db.entries.set("a", n)
            await then(a=n)
        await db.entries.rename("a", "b")
        await then(a=None, b=2)
        await db.entries.set("b", 3)
        await then(b=3)
        await db.entries.set("a", "new")
        await then(a="new")
        await db.entries.rename("a", "aa")
        await then(a=None, aa="new")
        await db.entries.rename("b", "a")
        await then(b=None, a=3)
        await db.entries.rename("a", "c")
        await then(a=None, c=3)
        await db.entries.delete("c")
        await then(c=None)
        for revision, instant, values in moments:
            for key, value in values.items():
                for at in (revision, instant):
                    assert await read_at(db, key, at=at) == value, (key, revision)


async def test_a_renamed_key_that_ran_out_leaves_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("lasting", 1)
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        before = {key for key, _ in await rows_of(db)}
        await db.entries.set("a", 1, ttl=5)
        await db.entries.rename("a", "b")
        await db.entries.rename("b", "c")
        scene.clock.advance(6)
        assert await db.sweep() == 1
        await db.compact()
        assert {key for key, _ in await rows_of(db)} == before


async def test_where_nothing_is_kept_a_past_that_a_rename_brought_along_goes(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("lasting", 1)
        await db.retention.keep("off", versions=0)
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        before = {key for key, _ in await rows_of(db)}
        for value in ("first", "x" * 300_000, "last"):
            await db.entries.set("kept:a", value)
        await db.compact()  # The feed no longer leads to these versions.
        await db.entries.rename("kept:a", "off:a")
        await db.entries.set("off:a", "y" * 300_000)
        await db.entries.delete("off:a")
        await db.compact()
        assert {key for key, _ in await rows_of(db)} == before


async def test_a_key_deleted_before_its_policy_was_carried_out_leaves_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("lasting", 1)
        await db.retention.keep("a", versions=0)
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        before = {key for key, _ in await rows_of(db)}
        await db.retention.keep("a")
        for n in range(3):
            await db.entries.set("a:x", n)
        await db.compact()
        await db.retention.keep("a", versions=0)
        await db.entries.delete("a:x")
        await db.compact()
        assert {key for key, _ in await rows_of(db)} == before


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("comes", ["policy", "rename"])
async def test_a_past_that_goes_with_the_feed_is_no_fault_until_then(
    scene: Scene, comes: str, again: bool
) -> None:
    async with scene.open() as db:
        name = "off:a" if comes == "policy" else "kept:a"
        for value in ("first", "x" * 300_000, "last"):
            await db.entries.set(name, value)
        await db.retention.keep("off", versions=0)
        if comes == "rename":
            await db.entries.rename(name, "off:a")
        await db.entries.set("off:a", "y" * 300_000)
        await db.entries.delete("off:a")
        if again:
            await db.entries.set("off:a", "another life")
        assert await db.check() == []
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        assert await db.check() == []
        assert all("history" not in one.parts for one in (await db.stats()).keyspaces)


async def test_what_lives_on_under_another_key_keeps_its_past(scene: Scene) -> None:
    async with scene.open() as db:
        await db.retention.keep("off", versions=0)
        for n in range(3):
            await db.entries.set("kept:a", n)
        await db.entries.rename("kept:a", "off:a")
        await db.entries.rename("off:a", "kept:b")
        # This one came back from its grave before it left a key of which nothing is kept any more.
        await db.entries.set("left:c", "first life")
        await db.entries.delete("left:c")
        await db.entries.set("left:c", 1)
        await db.entries.rename("left:c", "kept:c")
        moved = await db.head()
        await db.entries.set("kept:c", 2)
        await db.retention.keep("left", versions=0)
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        for key, expected in (
            ("kept:b", [(1, 1), (1, 2), (1, 3)]),
            ("kept:c", [(2, 2)]),
        ):
            past = await listed(db.entries.history(key))
            places = sorted((one.metadata.incarnation, one.metadata.version) for one in past)
            assert places == expected, key
        assert await read_at(db, "kept:c", at=moved - 1) is None, "it had not arrived yet"


@pytest.mark.parametrize("policy", [{"versions": 0}, {"values": "none"}, {"gone": "feed"}], ids=str)
@pytest.mark.parametrize("left", [0, 4, 11])
async def test_a_damaged_version_does_not_keep_the_rest_of_the_past(
    scene: Scene, policy: dict[str, Any], left: int
) -> None:
    async with scene.open_unchecked() as db:
        for n in range(4):
            await db.entries.set("a:x", n)
        await db.entries.rename("a:x", "a:y")
        entry = await db.entries.require("a:y")
        key = storage_of(db)._rows.past_key(entry.metadata.identity, 1, 2)
        [record] = await engine_of(db).read([key])
        assert record is not None
        await engine_of(db).commit(Batch([Put(key, record.value[:left])]))
        await db.retention.keep("a", **policy)
        await db.entries.delete("a:y")
        await db.retention.keep_feed(changes_max=0)
        await db.compact()
        past = await rows_of(db, Range.prefix(key[:-12]))
        if "values" not in policy:
            assert past == []
        for one, record in past:
            assert one == key or past_parts(record).stored[1] & envelope.VALUE_GONE


@pytest.mark.parametrize("off", [False, True])
async def test_a_purge_leaves_no_word_of_the_names_a_key_had(scene: Scene, off: bool) -> None:
    async with scene.open() as db:
        await db.entries.set("lasting", 1)
        if off:
            await db.retention.keep("a", versions=0)
        kept = await rows_of(db, Range.prefix(layout.KEYSPACE))
        await db.entries.set("real name", 1)
        await db.entries.rename("real name", "other name")
        await db.entries.rename("other name", "a:x")
        assert (await db.retention.purge("a:x")).versions
        assert await rows_of(db, Range.prefix(layout.KEYSPACE)) == kept
