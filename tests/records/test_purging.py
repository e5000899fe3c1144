"""Purging: a key leaves with its past at once, and nothing of it is left in the file."""

from __future__ import annotations

import pytest

from holdfast.contract.errors import KeyNotFound, StoreNotFound
from holdfast.contract.record import Range
from holdfast.store import layout
from tests.store.scene import Scene, first, listed, rows_of


async def test_a_purged_key_leaves_nothing_but_the_feed(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("other", 1)
        kept = await rows_of(db, Range.prefix(layout.KEYSPACE))
        for n in range(5):
            await db.entries.set("a:secret", "x" * (300_000 if n % 2 else 3) + str(n), tags=["t"])
        await db.entries.delete("a:secret")
        await db.entries.set("a:secret", "again", ttl=100, tags=["t"])
        start = await db.head()
        done = await db.retention.purge("a:secret", modified_by="ada", comment="asked to")
        assert done.versions == 6
        assert await rows_of(db, Range.prefix(layout.KEYSPACE)) == kept
        assert await rows_of(db, Range.prefix(layout.EXPIRY)) == []
        assert await listed(db.entries.history("a:secret")) == []
        [change] = await first(db.watch(since=start), 1)
        assert (change.op, change.modified_by, change.comment) == ("delete", "ada", "asked to")
        assert change.before is None
        # It can begin anew.
        entry = await db.entries.set("a:secret", 1)
        assert (entry.metadata.version, entry.metadata.incarnation) == (1, 1)


async def test_the_past_of_a_deleted_key_is_purged_too(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.delete("a")
        assert (await db.retention.purge("a")).versions == 1
        assert await rows_of(db, Range.prefix(layout.KEYSPACE)) == []
        with pytest.raises(KeyNotFound):
            await db.retention.purge("a")
        with pytest.raises(KeyNotFound):
            await db.retention.purge("never")
        with pytest.raises(StoreNotFound):
            await db.retention.purge("a", view="documents", keyspace="none")
