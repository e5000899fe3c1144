"""Commands that look after a database: info, check, compact."""

from __future__ import annotations

import glob
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.documents import names_of
from holdfast.cli.progress import progress
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.errors import StoreError
from holdfast.database.handle import Database
from holdfast.store.versions.trimming import Trimmed

if TYPE_CHECKING:
    from holdfast.store.stats import Stats

#: How many faults are printed; all of them count.
FAULTS_SHOWN_MAX = 100
#: What `st_blocks` counts in: a sparse map takes less than its length.
BLOCK_BYTES = 512


def info(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Show what stands below the database and what it can do."""

    async def work() -> tuple[dict[str, Any], int, str]:
        # Not opened for reading only: what a handle of that kind can do is not the question.
        async with opening.for_writing(url, create=False) as db:
            return await db.explain(), await db.entries.count(), db.cursor

    explained, entries, cursor = opening.run(work())
    # The view's place in memory says nothing to anybody.
    explained["stack"] = ["KeyValueStore", *explained["stack"][1:]]
    explained["url"] = opening.config_of(url).url
    capabilities, keyspaces = explained.pop("capabilities"), explained["keyspaces"]
    if as_json:
        shown.document(
            explained | {"cursor": cursor, "entries": entries, "capabilities": _plain(capabilities)}
        )
        return exits.OK
    told = explained.pop("abilities")
    shown.facts(
        [
            ("url", explained["url"]),
            ("entries", entries),
            ("revision", str(explained["revision"])),
            ("cursor", cursor),
            ("feed begins at", str(explained["feed_oldest"])),
            ("format", explained["format"]["number"]),
            ("keyspaces", ", ".join(f"{one['view']} {one['name']}" for one in keyspaces)),
            ("housekeeping", _rounds(explained["housekeeping"])),
            ("stack", " on ".join(explained["stack"])),
        ]
    )
    shown.table(None, ["capability", "the engine"], _abilities(capabilities))
    rows = [(name, one["source"], one["remark"]) for name, one in told.items()]
    shown.table(None, ["ability", "source", "remark"], rows)
    return exits.OK


def _rounds(rounds: dict[str, Any] | None) -> str:
    """How housekeeping fares, in one line."""
    if rounds is None:
        return "none in this process"
    state = "running" if rounds["running"] else "not needed yet"
    if rounds["failures"]:
        state += f", {rounds['failures']} rounds failed, the last with {rounds['last_failure']}"
    return state


async def _documents(db: Database) -> int:
    """How many documents there are; what cannot be counted is left to the check, which tells it."""
    documents = 0
    with suppress(StoreError):
        for name in await names_of(db):
            with suppress(StoreError):
                documents += await db.collection(name).count()
    return documents


def check(
    url: options.Url = "", as_json: options.AsJson = False, repair: options.Repair = False
) -> int:
    """Walk the whole database: pages, digests of all values, and that everything agrees.

    Ends with 1 when anything is wrong, or was and was mended.
    """
    mended = opening.repaired(url) if repair else []

    async def mend() -> list[str]:
        async with opening.for_writing(url, create=False) as db:
            return await db.repair()

    if repair:
        mended += opening.run(mend())
    if not as_json:
        for line in mended:
            shown.line(line)

    async def work() -> tuple[int, int, list[str], bool]:
        async with opening.for_reading(url) as db:
            entries = await db.entries.count()
            documents = await _documents(db)
            with progress("check", entries + documents) as done:
                faults = await db.check(done)
            return entries, documents, faults, db.capabilities.checks

    entries, documents, faults, checks = opening.run(work())
    if as_json:
        shown.document(
            {
                "ok": not faults,
                "entries": entries,
                "engine_checked": checks,
                "faults": faults,
                **({"mended": mended} if repair else {}),
            }
        )
    else:
        for fault in faults[:FAULTS_SHOWN_MAX]:
            shown.line(f"wrong: {fault}")
        if len(faults) > FAULTS_SHOWN_MAX:
            shown.line(f"... and {len(faults) - FAULTS_SHOWN_MAX:,} more; --json lists all")
        verdict = f"{len(faults):,} things are wrong" if faults else "all is well"
        engine = "" if checks else " (this engine has no check of its own)"
        others = f", {documents:,} documents" if documents else ""
        shown.line(f"{verdict}: {entries:,} entries{others}{engine}")
    return exits.ABSENT if faults or mended else exits.OK


def size(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Count what the database holds: rows and bytes of each keyspace, of the feed, of the past."""

    async def work() -> Stats:
        async with opening.for_reading(url) as db:
            with progress("size", None) as done:
                return await db.stats(done)

    counted = opening.run(work())
    on_disk = bytes_on_disk(opening.config_of(url))
    if as_json:
        shown.document(msgspec.to_builtins(counted) | {"on_disk": on_disk})
        return exits.OK
    rows = [
        (f"{one.view} {one.name}", part, f"{found.rows:,}", shown.size_of(found.size))
        for one in counted.keyspaces
        for part, found in sorted(one.parts.items())
    ]
    others = {"feed": counted.feed, "expiries": counted.expiries, "system": counted.system}
    rows += [
        (name, "", f"{found.rows:,}", shown.size_of(found.size)) for name, found in others.items()
    ]
    shown.table(None, ["keyspace", "part", "rows", "keys and values"], rows)
    files = "" if on_disk is None else f", {shown.size_of(on_disk)} on disk"
    shown.line(
        f"{counted.total_rows:,} rows of {shown.size_of(counted.total_size)} at revision "
        f"{counted.revision}{files}"
    )
    return exits.OK


def compact(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Give up the past that is no longer to be kept, and free the space where the engine can."""
    config = opening.config_of(url)

    async def work() -> Trimmed:
        async with opening.for_writing(url, create=False) as db:
            with progress("compact", None) as done:
                return await db.compact(done)

    before = bytes_on_disk(config)
    trimmed = opening.run(work())
    after = bytes_on_disk(config)
    if as_json:
        shown.document(
            {
                "changes": trimmed.changes,
                "values": trimmed.values,
                "versions": trimmed.versions,
                "bytes_before": before,
                "bytes_after": after,
            }
        )
        return exits.OK
    shown.line(
        f"given up: {trimmed.changes:,} changes of the feed, {trimmed.values:,} values and "
        f"{trimmed.versions:,} versions of the past"
    )
    if before is not None and after is not None:
        shown.line(f"on disk: {shown.size_of(before)} before, {shown.size_of(after)} after")
    return exits.OK


def bytes_on_disk(config: EngineConfig) -> int | None:
    """What the files of the database take; None when it has none."""
    if not isinstance(config, PathConfig):
        return None
    path = config.path
    # An engine keeps files in the path, or files whose names begin with it.
    files = path.iterdir() if path.is_dir() else path.parent.glob(glob.escape(path.name) + "*")
    return sum(file.stat().st_blocks * BLOCK_BYTES for file in files if file.is_file())


def _plain(capabilities: dict[str, Any]) -> dict[str, Any]:
    """Enumerations as their text; for JSON."""
    return {
        name: str(fact) if isinstance(fact, str) else fact for name, fact in capabilities.items()
    }


def _abilities(capabilities: dict[str, Any]) -> list[tuple[str, str]]:
    """Capabilities for people, sizes as sizes."""
    rows = []
    for name, fact in capabilities.items():
        text = shown.text_of(fact)
        if name.endswith("_bytes_max"):
            text = shown.size_of(fact)
        elif name.endswith("_max_s"):
            text = "no limit" if fact is None else f"{fact:g} s"
        rows.append((name, text))
    return rows
