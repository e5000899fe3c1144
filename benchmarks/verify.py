"""Afterwards: what a run wrote is there; history, feed and digests are right."""

from __future__ import annotations

from dataclasses import dataclass

import holdfast
from benchmarks.data import Model, Wrong, key_of

#: Of how many keys, those written most often, the whole history is read.
HISTORIES_MAX = 300
#: Of how many changes the feed is replayed with the entries before and after.
REPLAY_MAX = 1_000_000


@dataclass(frozen=True)
class Verified:
    """What was compared, every one of them equal.

    Attributes:
        entries: values, versions and digests of living entries.
        past: values and digests of past versions.
        changes: changes of the feed, replayed.
    """

    entries: int
    past: int
    changes: int

    def __str__(self) -> str:
        return f"{self.entries:,} entries, {self.past:,} past versions, {self.changes:,} changes"


async def verify(database: holdfast.Database, model: Model) -> Verified:
    """Compare a database with what was written to it.

    Raises:
        Wrong: it differs, or its own check finds fault.
    """
    faults = await database.check() if database.capabilities.checks else []
    if faults:
        raise Wrong(f"the check of {database.config.url} found: {faults[0]}")
    entries = await _entries(database, model)
    return Verified(entries, await _histories(database, model), await _feed(database, model))


async def _entries(database: holdfast.Database, model: Model) -> int:
    seen = 0
    async for entry in database.entries.items("#"):
        value = entry.value
        number = value["number"]
        write = model.writes[number]
        _same(entry, key_of(number), model, number, write)
        if entry.metadata.version != write + 1:
            raise Wrong(f"{entry.key} is of version {entry.metadata.version}, not {write + 1}")
        seen += 1
    if seen != len(model.writes):
        raise Wrong(f"{seen} entries are there, {len(model.writes)} were written")
    return seen


async def _histories(database: holdfast.Database, model: Model) -> int:
    by_writes = sorted(range(len(model.writes)), key=model.writes.__getitem__, reverse=True)
    compared = 0
    for number in by_writes[:HISTORIES_MAX]:
        key = key_of(number)
        write = 0
        async for past in database.entries.history(key):
            _same(past, key, model, number, write)
            write += 1
        if write != model.writes[number]:
            raise Wrong(f"{key} has {write} past versions, not {model.writes[number]}")
        compared += write
    return compared


async def _feed(database: holdfast.Database, model: Model) -> int:
    """Each change must follow the one before it of the same key; the last must be the living."""
    wanted = sum(model.writes) + len(model.writes)
    replayed = [-1] * len(model.writes)
    changes = 0
    revision = 0
    async with database.watch("#", since=0) as watch:
        async for change in watch:
            if change.after is None or change.revision < revision:
                raise Wrong(f"the feed tells of a {change.op} at {change.revision}")
            revision = change.revision
            value = change.after.value
            number, write = value["number"], value["write"]
            if write != replayed[number] + 1:
                raise Wrong(f"the feed tells write {write} of {change.key} out of turn")
            _same(change.after, key_of(number), model, number, write)
            if change.before is not None and change.before.value["write"] != write - 1:
                raise Wrong(f"the feed tells a wrong value before write {write} of {change.key}")
            replayed[number] = write
            changes += 1
            if changes == min(wanted, REPLAY_MAX):
                break
    if changes == wanted and replayed != model.writes:
        raise Wrong("the feed, replayed, does not give what was written")
    return changes


def _same(
    entry: holdfast.Entry[dict[str, object]], key: str, model: Model, number: int, write: int
) -> None:
    value = model.values.of(number, write)
    if str(entry.key) != key or entry.value != value:
        raise Wrong(f"{entry.key} does not hold write {write} of {key}")
    if entry.metadata.data_hash != holdfast.digest(value).hex:
        raise Wrong(f"the digest of write {write} of {key} is not that of its value")
