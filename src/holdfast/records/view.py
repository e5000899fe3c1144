"""Entries as floor 3 sees them: how they expire, how their changes are told, who checks them."""

from __future__ import annotations

from typing import Any

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreClosed
from holdfast.contract.record import Range
from holdfast.contract.runtime import Components
from holdfast.records.check import KeyspaceCheck
from holdfast.records.paging import PagedEntryStorage
from holdfast.runtime.gate import Gate
from holdfast.store.change import Change
from holdfast.store.feed_row import Act, FeedPosition
from holdfast.store.instances import SharedDatabase
from holdfast.store.keyspaces import Keyspace
from holdfast.store.space import Space
from holdfast.store.text_keys import shows, unpack_key
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.derived import standard_derived
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.plan import VersionPlanner
from holdfast.store.versions.retention import Retention
from holdfast.store.versions.rows import Rows
from holdfast.store.views import ChangeReader, KeyspaceTally, Progress, Report, ViewKeeper

#: The name of the view, and of its one keyspace.
ENTRIES = "entries"


def entry_storage(space: Space, retention: Retention, values: Values) -> PagedEntryStorage:
    """The entries of a keyspace."""
    rows = Rows(space.keyspace)
    planner = VersionPlanner(rows, standard_derived(rows), retention)
    return PagedEntryStorage(space, rows, planner, values)


class EntryKeeper(ViewKeeper):
    """Keeps the entries of a database.

    Args:
        shared: the database.
    """

    def __init__(self, shared: SharedDatabase) -> None:
        self._engine = shared.engine
        self._components = shared.components
        self._retention = shared.retention

    def storage(self, engine: Engine, keyspace: Keyspace) -> PagedEntryStorage:
        """The entries of a keyspace, for housekeeping."""
        components = self._components
        space = Space(engine, keyspace, components.clock, _nothing, _everywhere(components))
        return entry_storage(space, self._retention, Values(components.host))

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        return await self.storage(self._engine, keyspace).expire(data_keys)

    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> KeyspaceTally:
        check = KeyspaceCheck(moment, Rows(keyspace), report, progress)
        await check.run()
        return check

    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        return EntryReader(self.storage(engine, keyspace), keyspace)


class EntryReader(ChangeReader):
    """Tells the changes of entries.

    Args:
        storage: reads them.
        keyspace: where they stand.
    """

    def __init__(self, storage: PagedEntryStorage, keyspace: Keyspace) -> None:
        self._storage = storage
        self._keyspace = keyspace

    def on(self, moment: Engine) -> ChangeReader:
        return EntryReader(self._storage.on(moment), self._keyspace)

    def key(self, packed: bytes) -> StoreKey:
        return unpack_key(packed)

    def segments(self, key: Any) -> tuple[str, ...]:
        segments: tuple[str, ...] = key.segments
        return segments

    def shows(self, pattern: Pattern, key: Any) -> bool:
        return shows(pattern, key)

    async def values(self, position: FeedPosition, key: Any) -> tuple[Any, Any]:
        row, text = position.row, str(key)
        state = self._storage.state
        this = await state(text, row.identity, row.incarnation, row.version)
        if row.act == Act.DELETE:
            return this, None
        before = None
        if row.previous:
            before = await state(text, row.identity, row.incarnation, row.version - 1)
        return before, this

    def standing_range(self, pattern: Pattern) -> Range:
        return self._storage.range_of(pattern)

    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        entries, rest = await self._storage.page(range, pattern)
        return [self._stands(entry) for entry in entries], rest

    def _stands(self, entry: Entry[Any]) -> Change:
        metadata = entry.metadata
        return Change(
            entry.revision, 0, "set", entry.key, None, entry, metadata.updated_at, "snapshot",
            modified_by=metadata.modified_by, comment=metadata.comment,
            view=self._keyspace.view, keyspace=self._keyspace.name,
        )  # fmt: skip


def _everywhere(components: Components) -> Gate:
    """A gate for housekeeping."""
    return Gate(components.host.runtime(), lambda: StoreClosed("the database is closed"))


def _nothing(_revision: int) -> None:
    """Nobody is told."""
