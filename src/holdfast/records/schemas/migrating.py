"""Migrating a whole namespace: in key order, batch by batch, each with the place it got to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.codecs.digest import digest
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey, parse_namespace
from holdfast.contract.errors import Conflict, InvalidInput
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.requirements import SCHEMAS, Requirements
from holdfast.records.schemas.schema import Schema
from holdfast.records.write import SetValue, Write, migration
from holdfast.runtime.working import checked_progress
from holdfast.store.versions.entry import Entry

#: How many entries, and about how many bytes of them, one commit migrates.
BATCH_ENTRIES = 256
BATCH_BYTES = 4 * 1024 * 1024
#: How often an entry is tried that others keep writing.
TRIES = 10

Upgrade = Callable[[Entry[Any], Schema], Any]


class Migrated(msgspec.Struct, frozen=True):
    """What a migration did, with what earlier, unfinished runs of it did.

    Attributes:
        entries: looked at.
        written: of those, brought to the schema by it.
    """

    entries: int = 0
    written: int = 0


class Migration:
    """Brings entries to one schema.

    Args:
        store: may write reserved names; where the entries are.
        requirements: what namespaces ask for.
        schema: to which.
        upgrade: makes the value of an entry fit the schema.
    """

    def __init__(
        self,
        store: KeyValueStoreInterface,
        requirements: Requirements,
        schema: Schema,
        upgrade: Upgrade,
    ) -> None:
        self._store = store
        self._requirements = requirements
        self._schema = schema
        self._upgrade = upgrade

    async def run(self, namespace: str, progress: Callable[[int, int], None] | None) -> Migrated:
        """Do what is left to do. The namespace is in its canonical spelling."""
        checked_progress(progress)
        place = self._place(namespace)
        segments = parse_namespace(namespace)
        kept = await self._store.get(place)
        after: StoreKey | None = None
        done = Migrated()
        if kept is not None:
            after = StoreKey.parse(kept.value["after"])
            done = Migrated(kept.value["entries"], kept.value["written"])
        batch: list[Entry[Any]] = []
        size = 0
        async for entry in self._store.items(_below(segments)):
            if entry.key.namespace[: len(segments)] != segments:
                continue
            if after is not None and entry.key <= after:
                continue
            batch.append(entry)
            size += entry.bytes_held
            if len(batch) >= BATCH_ENTRIES or size >= BATCH_BYTES:
                done = await self._migrate(batch, place, done)
                batch, size = [], 0
                if progress is not None:
                    progress(done.entries, done.written)
        if batch:
            done = await self._migrate(batch, place, done)
            if progress is not None:
                progress(done.entries, done.written)
        if await self._store.has(place):
            await self._store.delete(place)
        return done

    async def _migrate(self, batch: list[Entry[Any]], place: StoreKey, done: Migrated) -> Migrated:
        """Migrate the entries as one commit; those before one that fails, when one fails."""
        writes: list[Write] = []
        reached: list[StoreKey] = []
        try:
            for entry in batch:
                await self._require_wanted(entry.key)
                writes += self._writes(entry)
                reached.append(entry.key)
        finally:
            if reached:
                done = await self._commit(writes, reached, place, done)
        return done

    async def _commit(
        self, writes: list[Write], reached: list[StoreKey], place: StoreKey, done: Migrated
    ) -> Migrated:
        """Write what was made, and how far that gets, together."""
        after = Migrated(done.entries + len(reached), done.written + len(writes))
        if not writes:
            return after
        try:
            await self._store.write([*writes, _mark(place, reached[-1], after)])
        except Conflict:
            # Somebody wrote one of them meanwhile: each for itself, as it is now.
            written = [await self._migrate_alone(StoreKey.of(one.key)) for one in writes]
            after = Migrated(after.entries, done.written + sum(written))
            await self._store.write([_mark(place, reached[-1], after)])
        return after

    async def _migrate_alone(self, key: StoreKey) -> bool:
        """Migrate one entry unless somebody else does; whether it was this that did."""
        for _ in range(TRIES):
            entry = await self._store.get(key)
            if entry is None:
                return False
            writes = self._writes(entry)
            try:
                await self._store.write(writes)
            except Conflict:
                continue
            return bool(writes)
        raise Conflict(
            f"{str(key)!r} was to be migrated; it was written by others each of {TRIES} times. "
            "Migrate again when less is written",
            key=str(key),
        )

    def _writes(self, entry: Entry[Any]) -> list[Write]:
        """What brings an entry to the schema: nothing when it is there."""
        if entry.metadata.schema_hash == self._schema.digest:
            return []
        return [migration(entry, self._upgrade(entry, self._schema), self._schema.digest)]

    async def _require_wanted(self, key: StoreKey) -> None:
        required = await self._requirements.of(key)
        if required not in (None, self._schema.digest):
            raise InvalidInput(
                f"{str(key)!r} was to be migrated to schema {self._schema.digest}; its namespace "
                f"requires {required}. Require the new schema first, then migrate",
                key=str(key),
                required=required,
            )

    def _place(self, namespace: str) -> StoreKey:
        """Where it stands how far this migration got."""
        what = digest([namespace, self._schema.digest])
        return StoreKey(what.hex, (SCHEMAS, "migrating"))


def _mark(place: StoreKey, after: StoreKey, done: Migrated) -> Write:
    value = {"after": str(after), "entries": done.entries, "written": done.written}
    return Write(place, SetValue(value))


def _below(segments: tuple[str, ...]) -> Pattern:
    """The keys of a namespace and below it, and at most one more."""
    if not segments:
        return Pattern.mqtt("#")
    exactly = Pattern.exactly(StoreKey("x", segments)).text
    return Pattern.mqtt(exactly.removesuffix(":x") + "/#")
