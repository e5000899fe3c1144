"""Make the sample databases of this format: one for each engine that stores on a medium.

    python -m tests.samples.make FOLDER

It was run once for each format, and what it made lies beside it, packed with zip. No test runs it
again: a sample holds the bytes that this version of Holdfast wrote, and every later version goes on
reading them. Who changes the format makes a new sample, beside the old ones, and keeps the old ones
with their tests for as long as their format is read.

A database on a server is kept as SQL: `format-1-postgres.sql` is the `schema.sql` of the last
version whose function of a commit knew no rewrite, and the rows that it wrote into an encrypted
database. The key file beside it has its keys, which protect nothing else.

Clock and ids are fixed, so the samples of two runs of one version hold the same rows.
"""

from __future__ import annotations

import asyncio
import sys
import zipfile
from pathlib import Path
from typing import Any

import holdfast
from holdfast.contract.config import EngineConfig
from holdfast.contract.runtime import Components, ManualClock
from holdfast.engines.lmdb.config import LmdbConfig
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.runtime.system import system_components
from holdfast.store.format import FORMAT

#: When everything was written: 27 November 2026, 12:00 UTC, and seconds after it.
BEGIN_MS = 1_795_780_800_000
#: A value in two chunks of 256 KiB.
BIG = bytes(range(256)) * 1200
LONG_KEY = "long:" + "k" * 600
SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1}},
}
TOKYO = {
    "population": 9_733_276,
    "names": ["Tokyo", "東京"],
    "area": 2194.07,
    "coast": True,
    "mayor": None,
    "seal": b"\x00\xff",
}


class CountedIds:
    """Ids that are numbers, from 1."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> bytes:
        self._last += 1
        return self._last.to_bytes(16, "big")


async def write_entries(db: holdfast.Database, clock: ManualClock) -> None:
    """History, tags, expiry, a big value, deletes, renames, conditions of retention."""
    entries = db.entries
    await db.retention.keep_feed(age_s=30 * 86400, changes_max=10_000)
    await db.retention.keep("contracts", values="forever")
    await db.retention.keep("metrics", values="none")
    await db.retention.keep("scratch", versions=0)
    await db.retention.keep("recent", versions=1, gone="feed")

    await entries.set(
        "cities/is:reykjavik", 118_918, modified_by="geonames", comment="census",
        tags=("capital", "coast"),
    )  # fmt: skip
    clock.advance(1)
    await entries.set("cities/is:reykjavik", 139_875, modified_by="ada", tags=("capital",))
    await entries.set("cities/jp:tokyo", TOKYO, modified_by=7)

    await entries.set("cities/is:akureyri", 19_000)
    clock.advance(1)
    await entries.delete("cities/is:akureyri", modified_by="grace", comment="wrong country")
    await entries.set("cities/is:selfoss", "first life")
    await entries.delete("cities/is:selfoss")
    await entries.set("cities/is:selfoss", "second life")
    await entries.set("cities/no:christiania", "Christiania", tags=("capital",))
    await entries.rename("cities/no:christiania", "cities/no:oslo", modified_by="storting")
    await entries.set("cities/no:oslo", "Oslo")
    await entries.restore("cities/no:oslo", 1)

    await entries.set("sessions:ada", "open", ttl=3600)
    await entries.set("sessions:swept", "ran out and was swept", ttl=1)
    clock.advance(2)
    await db.sweep()
    await entries.set("sessions:unswept", "ran out and still lies there", ttl=1)

    await entries.set("files:big", BIG)
    await entries.set("files:big", BIG[::-1])
    await entries.set(LONG_KEY, "a key longer than LMDB's")
    for number in range(3):
        for namespace in ("contracts", "metrics", "scratch", "recent"):
            await entries.set(f"{namespace}:one", number)
    # The policy comes later than the versions, so the compaction writes their rows anew.
    await entries.set("rewritten:one", 0)
    await entries.set("rewritten:one", 1)
    await entries.delete("rewritten:one", modified_by="ada", comment="over")
    await db.retention.keep("rewritten", values="none")


async def write_others(db: holdfast.Database) -> None:
    """Stores, schemas, transactions."""
    ledger = await db.stores.create("ledger")
    await ledger.set(b"balance", b"100", modified_by="ada")
    await ledger.set(b"balance", b"101", comment="interest")
    await ledger.set(b"\xff\x00", b"a key that is no text")
    await ledger.set(b"ticket", b"admits one", ttl=3600)
    await ledger.set(b"late", b"ran out and still lies there", ttl=1)
    await ledger.set(b"gone", b"deleted")
    await ledger.delete(b"gone", modified_by="ada")
    dropped = await db.stores.create("dropped")
    await dropped.set(b"any", b"thing")
    await db.stores.delete("dropped")

    digest = await db.schemas.register(SCHEMA, modified_by="ada")
    await db.schemas.require("people", digest)
    await db.entries.set("people:ada", {"name": "Ada"})

    async with db.transaction() as tx:
        await tx.entries.set("accounts:ada", 70, comment="to grace")
        await tx.entries.set("accounts:grace", 80)
        await tx.entries.set("accounts:grace", 81)
        await (await tx.stores.get("ledger")).set(b"transfers", b"1")
        tx.savepoint("before")
        await tx.entries.set("accounts:mallory", 1_000_000)
        tx.rollback_to("before")


async def write(config: EngineConfig) -> None:
    """Write everything into a new database, and close it."""
    clock = ManualClock(BEGIN_MS)
    components = Components(system_components().host, clock, CountedIds())
    settings: dict[str, Any] = {"components": components, "housekeeping": False}
    async with holdfast.open(config, **settings) as db:
        await write_entries(db, clock)
        await write_others(db)
        async with holdfast.open(
            config, serializer="json", compression="gzip", logged=True, **settings
        ) as other:
            await other.entries.set("texts:long", {"text": "holdfast " * 200})
            await other.entries.get("texts:long")
        clock.advance(2)
        assert await db.check() == []
        await db.compact()


def pack(folder: Path, archive: Path) -> None:
    """Put the files of a database into an archive, the same bytes for the same files."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for file in sorted(folder.rglob("*")):
            # What locks and ballast leave is no part of the database.
            if file.is_file() and file.name in ("data.mdb", "sample.sqlite"):
                entry = zipfile.ZipInfo(str(file.relative_to(folder)), (2026, 11, 27, 12, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, file.read_bytes())


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    configs: dict[str, EngineConfig] = {
        "lmdb": LmdbConfig(path=folder / "lmdb" / "sample", map_size=8 * 1024 * 1024),
        "sqlite": SqliteConfig(path=folder / "sqlite" / "sample.sqlite"),
    }
    for name, config in configs.items():
        (folder / name).mkdir()
        asyncio.run(write(config))
        pack(folder / name, folder / f"format-{FORMAT}-{name}.zip")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
