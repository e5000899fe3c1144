"""Commands that look after a database: info, check, compact."""

from __future__ import annotations

import glob
from typing import Annotated, Any

import typer

from holdfast.cli import exits, options, shown
from holdfast.cli.progress import Move, progress, shows_progress
from holdfast.codecs.digest import digest
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.errors import StoreError
from holdfast.database.handle import Database
from holdfast.records.entry import Entry
from holdfast.records.retention import Trimmed

#: The progress moves after that many entries.
STEP_ENTRIES = 200
#: How many faults are printed; all of them count.
FAULTS_SHOWN_MAX = 100
#: What `st_blocks` counts in: a sparse map takes less than its length.
BLOCK_BYTES = 512


def info(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Show what stands below the database and what it can do."""

    async def work() -> tuple[dict[str, Any], int, str]:
        # Not opened for reading only: what a handle of that kind can do is not the question.
        async with options.for_writing(url, create=False) as db:
            return await db.explain(), await db.entries.count(), db.cursor

    explained, entries, cursor = options.run(work())
    # The view's place in memory says nothing to anybody.
    explained["stack"] = ["KeyValueStore", *explained["stack"][1:]]
    explained["url"] = options.config_of(url).url
    capabilities = explained.pop("capabilities")
    if as_json:
        shown.document(
            explained | {"cursor": cursor, "entries": entries, "capabilities": _plain(capabilities)}
        )
        return exits.OK
    provided = explained.pop("provided_above")
    shown.facts(
        [
            ("url", explained["url"]),
            ("entries", entries),
            ("revision", str(explained["revision"])),
            ("cursor", cursor),
            ("feed begins at", str(explained["feed_oldest"])),
            ("keyspaces", explained["keyspaces"]),
            ("stack", " on ".join(explained["stack"])),
        ]
    )
    shown.table(None, ["capability", "the engine"], _abilities(capabilities))
    shown.table(None, ["view", "provided above it"], provided.items())
    return exits.OK


def check(
    url: options.Url = "",
    history: Annotated[
        bool, typer.Option("--history/--no-history", help="Past versions too.")
    ] = True,
    as_json: options.AsJson = False,
) -> int:
    """Walk the whole database and recompute the digest of every value.

    Ends with 1 when anything is wrong.
    """

    async def work() -> tuple[int, int, list[str], bool]:
        async with options.for_reading(url) as db:
            checks = db.capabilities.checks
            with progress("check the engine", None):
                faults = list(await db.check()) if checks else []
            total = await db.entries.count() if shows_progress() else None
            tally = _Tally(faults)
            with progress("check the values", total) as done:
                await _verify(db, tally, done, history=history)
            return tally.entries, tally.values, faults, checks

    entries, values, faults, checks = options.run(work())
    if as_json:
        shown.document(
            {
                "ok": not faults,
                "entries": entries,
                "values_verified": values,
                "engine_checked": checks,
                "faults": faults,
            }
        )
    else:
        for fault in faults[:FAULTS_SHOWN_MAX]:
            shown.line(f"wrong: {fault}")
        if len(faults) > FAULTS_SHOWN_MAX:
            shown.line(f"... and {len(faults) - FAULTS_SHOWN_MAX:,} more; --json lists all")
        verdict = f"{len(faults):,} things are wrong" if faults else "all is well"
        engine = "" if checks else " (this engine has no check of its own)"
        shown.line(f"{verdict}: {entries:,} entries, {values:,} values verified{engine}")
    return exits.ABSENT if faults else exits.OK


def compact(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Give up the past that is no longer to be kept, and free the space where the engine can."""
    config = options.config_of(url)

    async def work() -> Trimmed:
        async with options.for_writing(url, create=False) as db:
            with progress("compact", None) as done:
                return await db.compact(done)

    before = _bytes_on_disk(config)
    trimmed = options.run(work())
    after = _bytes_on_disk(config)
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


def _bytes_on_disk(config: EngineConfig) -> int | None:
    """What the files of the database take; None when it has none."""
    if not isinstance(config, PathConfig):
        return None
    path = config.path
    # An engine keeps files in the path, or files whose names begin with it.
    files = path.iterdir() if path.is_dir() else path.parent.glob(glob.escape(path.name) + "*")
    return sum(file.stat().st_blocks * BLOCK_BYTES for file in files if file.is_file())


class _Tally:
    """What a check has looked at, and what it found wrong."""

    def __init__(self, faults: list[str]) -> None:
        self.entries = 0
        self.values = 0
        self.faults = faults

    def verify(self, entry: Entry[Any]) -> None:
        """Recompute the digest of one version."""
        metadata = entry.metadata
        if not entry.has_value:
            return
        self.values += 1
        if digest(entry.value).hex != metadata.data_hash:
            self.faults.append(
                f"the value of {str(entry.key)!r} version {metadata.version} does not match "
                "its digest"
            )


async def _verify(db: Database, tally: _Tally, done: Move, *, history: bool) -> None:
    """Every living entry, and the past of each; what cannot be read is one more fault."""
    try:
        # Keys alone: a walk over values would end at the first that cannot be read.
        async for key in db.entries.keys("#"):
            tally.entries += 1
            if tally.entries % STEP_ENTRIES == 0:
                done(tally.entries)
            try:
                entry = await db.entries.get(key)
                if entry is not None:
                    tally.verify(entry)
            except StoreError as error:
                tally.faults.append(f"the entry {str(key)!r} cannot be read: {error}")
            if history:
                try:
                    async for past in db.entries.history(key):
                        tally.verify(past)
                except StoreError as error:
                    tally.faults.append(f"the past of {str(key)!r} cannot be read: {error}")
    except StoreError as error:
        tally.faults.append(f"the keys cannot be walked to their end: {error}")


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
