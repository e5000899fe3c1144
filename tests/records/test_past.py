"""What is told of a past version stays the same when retention gives up its value."""

from __future__ import annotations

from typing import Any

from tests.store.scene import Scene, listed


def _told(past: Any) -> tuple[Any, ...]:
    metadata = past.metadata
    return (
        metadata.incarnation, metadata.version, past.revision, metadata.data_hash,
        metadata.comment, past.ended_at_revision, past.end_cause, past.end_modified_by,
        past.end_at_ms,
    )  # fmt: skip


async def test_when_and_how_a_version_ended_outlives_its_value(scene: Scene) -> None:
    async with scene.open() as db:
        for number in range(3):
            await db.entries.set("a:1", number, comment=f"number {number}")
        await db.entries.set("a:2", "x" * 1_000_000)
        await db.entries.delete("a:1", modified_by="ada")
        await db.entries.set("a:1", "again")
        await db.entries.delete("a:2")
        before = [await listed(db.entries.history(key)) for key in ("a:1", "a:2")]
        await db.retention.keep_feed(changes_max=0)
        assert (await db.compact()).values == 4
        after = [await listed(db.entries.history(key)) for key in ("a:1", "a:2")]
        assert not any(past.has_value for key in after for past in key)
        assert [[_told(past) for past in key] for key in after] == [
            [_told(past) for past in key] for key in before
        ]
        # A second compaction has nothing left to give up.
        await db.entries.set("a:3", 1)
        await db.compact()
        again = [await listed(db.entries.history(key)) for key in ("a:1", "a:2")]
        assert [list(map(_told, key)) for key in again] == [list(map(_told, key)) for key in after]
