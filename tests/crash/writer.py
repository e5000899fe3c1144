"""The process that is killed: writes through `holdfast.open` and tells what was acknowledged.

    python -m tests.crash.writer URL SEED [WRITES]

Each line of output is one JSON object, written only after the call that it tells of has returned:
`{"lineage": …, "head": …}` once the database is open, then one for each acknowledged write. Runs
until it is killed; given a number of writes, until it has told of the last of them, and ends there
without closing anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

import holdfast
from holdfast.contract.errors import Conflict
from holdfast.engines.file import compaction, journal

#: Tasks that write keys of their own; each stands for one user.
OWNERS = 4
#: Keys of one owner.
KEYS = 5
#: Tasks that all change one key.
HOT = 3
#: Keys of one batch.
BATCH = 40
#: How a process ends by itself right after an acknowledgement.
ENDED = 9
#: A value that is stored in chunks.
BIG_BYTES = 700_000


def tell(**facts: Any) -> None:
    """Write one line in one system call, so that a kill leaves whole lines."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def told(entry: holdfast.Entry[Any]) -> dict[str, Any]:
    """What is said of an acknowledged version."""
    metadata = entry.metadata
    return {
        "key": str(entry.key),
        "place": [metadata.incarnation, metadata.version],
        "revision": metadata.revision,
        "digest": metadata.data_hash,
        "at": time.monotonic(),
    }


async def own(db: holdfast.Database, owner: int, chance: random.Random) -> None:
    """Set, change, expire, tag and delete keys that nobody else writes."""
    entries = db.entries
    while True:
        key = f"owners/{owner}:{chance.randrange(KEYS)}"
        what = chance.random()
        if what < 0.55:
            tags = ["even", "small"][: chance.randrange(3)]
            value = {"n": chance.random(), "text": "x" * chance.randrange(2000)}
            tell(**told(await entries.set(key, value, tags=tags, modified_by=owner)))
        elif what < 0.7:
            tell(**told(await entries.set(key, [chance.random()], ttl=chance.random() / 20 + 0.01)))
        elif what < 0.73:
            tell(**told(await entries.set(key, os.urandom(BIG_BYTES))))
        elif what < 0.85:
            entry = await entries.get(key)
            if entry is not None and await _deleted(db, key, entry.revision):
                metadata = entry.metadata
                tell(gone=key, place=[metadata.incarnation, metadata.version], at=time.monotonic())
        else:
            together = [f"owners/{owner}:{number}" for number in range(3)]
            if (revision := await _written_together(db, together)) is not None:
                tell(together=together, revision=revision, at=time.monotonic())


async def _deleted(db: holdfast.Database, key: str, revision: int) -> bool:
    try:
        return await db.entries.delete(key, if_revision=revision)
    except Conflict:
        return False  # It ran out meanwhile.


async def _written_together(db: holdfast.Database, keys: list[str]) -> int | None:
    try:
        async with db.transaction() as transaction:
            for number, key in enumerate(keys):
                await transaction.entries.set(key, number)
                await transaction.entries.set(key, number + 1)
    except Conflict:
        return None  # One of them ran out meanwhile.
    return transaction.revision


async def count(db: holdfast.Database) -> None:
    """Change one key that everybody changes."""
    while True:
        tell(**told(await db.entries.modify("hot", lambda number: (number or 0) + 1)))


async def write_batches(db: holdfast.Database) -> None:
    """Write many keys at once, all the same value, so that a torn batch shows."""
    while True:
        first = await db.entries.get("batch:0")
        number = first.value + 1 if first is not None else 0
        done = await db.entries.set_many({f"batch:{index}": number for index in range(BATCH)})
        for entry in done.values():
            tell(**told(entry))


async def main(url: str, seed: int, writes: int) -> None:
    """Write until the end."""
    tell(opening=True)
    async with holdfast.open(url) as db:
        tell(lineage=db.cursor.rpartition(".")[0], head=db.revision)
        for number in range(writes):
            tell(**told(await db.entries.set(f"few:{seed % 3}", number)))
        if writes:
            os._exit(ENDED)
        async with asyncio.TaskGroup() as tasks:
            for owner in range(OWNERS):
                tasks.create_task(own(db, owner, random.Random(f"{seed} {owner}")))
            for _ in range(HOT):
                tasks.create_task(count(db))
            tasks.create_task(write_batches(db))


if __name__ == "__main__":
    if os.environ.get("HOLDFAST_TEST_RESTLESS"):
        # Journals begin segments, and remove them, all the time.
        journal.SEGMENT_BYTES_MIN = 8_000
        compaction.DEAD_BYTES_MIN, compaction.DEAD_SHARE_MAX = 1_000, 0.02
    asyncio.run(main(sys.argv[1], *map(int, (*sys.argv[2:], "0")[:2])))
