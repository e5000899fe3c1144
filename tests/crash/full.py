"""What a full medium may do and may not, through `holdfast.open`. Run in a process of its own.

    python -m tests.crash.full URL LIMIT

LIMIT: no file may become larger than so many bytes; 0: the medium itself is small, and a file
beside the database takes some of it until the end. Prints `kept every promise` when all is done.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path
from typing import Any

import holdfast
from holdfast.contract.errors import StorageFull

#: More than fits anywhere here.
ENTRIES_MAX = 20_000
#: Entries whose versions are kept when they are deleted, which takes room instead of giving it.
KEPT = 40
VALUE_BYTES = 3_000
#: What takes room on a small medium, in the working directory.
FILLER = Path("filler")
FILLER_BYTES = 3_000_000

Acknowledged = dict[str, holdfast.Entry[Any]]


async def fill(db: holdfast.Database, namespace: str, most: int = ENTRIES_MAX) -> Acknowledged:
    """Write entries until there is no room; those acknowledged."""
    done: Acknowledged = {}
    for number in range(most):
        key = f"{namespace}:{number:05}"
        try:
            done[key] = await db.entries.set(key, f"{key} " * (VALUE_BYTES // len(key)))
        except StorageFull:
            break
    return done


async def assert_there(db: holdfast.Database, acknowledged: Acknowledged) -> None:
    """Everything is readable and what it was."""
    for key, entry in acknowledged.items():
        there = await db.entries.require(key)
        assert there == entry, key
        assert holdfast.digest(there.value).hex == entry.metadata.data_hash, key
    assert await db.check() == []


async def refused(db: holdfast.Database) -> None:
    """Batches and transactions that find no room leave nothing."""
    head = await db.head()
    entries = await db.entries.count()
    many = {f"logs:many {number}": "x" * 20_000 for number in range(100)}
    try:
        await db.entries.set_many(many)
    except StorageFull:
        pass
    else:
        raise AssertionError("a batch found room that a small write did not find")
    try:
        async with db.transaction() as transaction:
            for key, value in many.items():
                await transaction.entries.set(key, value)
    except StorageFull:
        pass
    else:
        raise AssertionError("a transaction found room that a small write did not find")
    assert await db.entries.count() == entries
    assert await db.head() == head


async def main(url: str, limit: int) -> None:
    """Fill, read, delete, write again, and reopen."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    else:
        FILLER.write_bytes(bytes(FILLER_BYTES))  # noqa: ASYNC240
    async with holdfast.open(url) as db:
        await db.retention.keep("logs", values="none", versions=0)
        kept = await fill(db, "kept", KEPT)
        logs = await fill(db, "logs")
        assert len(kept) == KEPT
        assert 100 < len(logs) < ENTRIES_MAX
        await assert_there(db, kept | logs)
        await refused(db)
        await assert_there(db, kept | logs)

        for key in list(kept)[: KEPT // 2]:
            assert await db.entries.delete(key)
            assert [past.revision async for past in db.entries.history(key)] == [
                kept.pop(key).revision
            ]
        for key in list(logs)[: len(logs) // 2]:
            assert await db.entries.delete(key)
            del logs[key]
        await assert_there(db, kept | logs)

        again = await fill(db, "logs/again", len(logs) // 2)
        assert len(again) == len(logs) // 2, f"{len(again)} fit where {len(logs)} were deleted"
        full = again | await fill(db, "logs/full")
        await assert_there(db, kept | logs | full)
        head = await db.head()
    async with holdfast.open(url) as db:
        assert await db.head() == head
        await assert_there(db, kept | logs | full)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        else:
            FILLER.unlink()  # noqa: ASYNC240
        more = await fill(db, "logs/more", 200)
        assert len(more) == 200, f"{len(more)} written where there was room again"
        await assert_there(db, kept | logs | full | more)
    print("kept every promise")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
