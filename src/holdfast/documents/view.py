"""Documents as floor 3 sees them: how they expire, how changes are told, who checks them."""

from __future__ import annotations

from typing import Any

from holdfast.codecs import envelope
from holdfast.codecs.keys import unpack_text
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, StoreClosed
from holdfast.contract.record import Range
from holdfast.contract.runtime import Components
from holdfast.documents.collections import DOCUMENTS
from holdfast.documents.indexing.check import check_indexes
from holdfast.documents.storage import DocumentStorage
from holdfast.records.check import KeyspaceCheck
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.change import Change
from holdfast.store.feed_row import Act, FeedPosition
from holdfast.store.instances import SharedDatabase
from holdfast.store.keyspaces import Keyspace
from holdfast.store.space import Space
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.history import History
from holdfast.store.versions.rows import Rows
from holdfast.store.views import ChangeReader, KeyspaceTally, Progress, Report, ViewKeeper

__all__ = ["DOCUMENTS", "DocumentKeeper"]


class DocumentKeeper(ViewKeeper):
    """Keeps the collections of a database.

    Args:
        shared: the database.
    """

    def __init__(self, shared: SharedDatabase) -> None:
        self._engine = shared.engine
        self._components = shared.components
        self._retention = shared.retention

    def storage(self, engine: Engine, keyspace: Keyspace) -> DocumentStorage:
        """The documents of a collection, for housekeeping."""
        components = self._components
        space = Space(
            engine, keyspace, components.clock, _nothing, _everywhere(components), fenced=True
        )
        metadata = StandardMetadataService(components.clock, components.ids)
        return DocumentStorage(space, self._retention, Values(components.host), metadata)

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        return await self.storage(self._engine, keyspace).expire(data_keys)

    async def check(
        self, moment: Engine, keyspace: Keyspace, report: Report, progress: Progress | None
    ) -> KeyspaceTally | None:
        check: KeyspaceCheck | None = None
        if keyspace.settings.history == "values":
            check = KeyspaceCheck(moment, Rows(keyspace), report, progress)
            await check.run()
        await check_indexes(moment, self.storage(moment, keyspace), report, progress)
        return check

    def reader(self, engine: Engine, keyspace: Keyspace) -> ChangeReader:
        return DocumentReader(self.storage(engine, keyspace), keyspace)


class DocumentReader(ChangeReader):
    """Tells the changes of one collection. Patterns match its name, then the key.

    Args:
        storage: reads the documents.
        keyspace: of the collection.
    """

    def __init__(self, storage: DocumentStorage, keyspace: Keyspace) -> None:
        self._storage = storage
        self._keyspace = keyspace
        self._history = History(
            storage.engine, storage.rows, storage.complete, storage.expired, int
        )

    def on(self, moment: Engine) -> ChangeReader:
        return DocumentReader(self._storage.on(moment, None), self._keyspace)

    def key(self, packed: bytes) -> str:
        try:
            return unpack_text(packed)
        except UnicodeDecodeError as error:
            raise IntegrityFailed(
                "a change of a collection has a key that is none; run `holdfast check`"
            ) from error

    def segments(self, key: Any) -> tuple[str, ...]:
        return self._keyspace.name, key

    async def values(self, position: FeedPosition, key: Any) -> tuple[Any, Any]:
        """The plain documents before and after, as far as history keeps them."""
        row = position.row
        this = await self._state(key, row.identity, row.incarnation, row.version)
        if row.act == Act.DELETE:
            return this, None
        before = None
        if row.previous:
            before = await self._state(key, row.identity, row.incarnation, row.version - 1)
        return before, this

    def standing_range(self, pattern: Pattern) -> Range:
        return self._storage.whole

    async def standing(self, range: Range, pattern: Pattern) -> tuple[list[Change], Range | None]:
        storage = self._storage
        page = await storage.engine.scan(range)
        found = []
        for data_key, (stored, revision) in page.rows:
            key = self.key(data_key[layout.REGION_BYTES :])
            if storage.expired(stored) or not self.shows(pattern, key):
                continue
            entry = await storage.complete(storage.entry(data_key, stored, revision))
            metadata = entry.metadata
            found.append(
                Change(
                    revision, 0, "set", key, None, entry.value, metadata.updated_at, "snapshot",
                    modified_by=metadata.modified_by, comment=metadata.comment,
                    view=self._keyspace.view, keyspace=self._keyspace.name,
                )
            )  # fmt: skip
        return found, page.resume

    async def _state(self, key: str, identity: bytes, incarnation: int, version: int) -> Any:
        """The document of one version, living or past; None where it is no longer kept."""
        text = str(StoreKey.of_stored((key,)))
        entry: Entry[Any] | None = await self._history.by_place(
            text, identity, incarnation, version
        )
        if entry is None:
            entry = await self._living(key, identity, incarnation, version)
        if entry is None:
            # Between the two reads it may have become past.
            entry = await self._history.by_place(text, identity, incarnation, version)
        if entry is None or not entry.has_value:
            return None
        return entry.value

    async def _living(
        self, key: str, identity: bytes, incarnation: int, version: int
    ) -> Entry[Any] | None:
        storage = self._storage
        data_key = storage.data_key(key)
        [record] = await storage.engine.read((data_key,))
        if record is None:
            return None
        head = envelope.header_of(record.value)
        if (head.identity, head.incarnation, head.version) != (identity, incarnation, version):
            return None
        try:
            return await storage.complete(storage.entry(data_key, *record))
        except IntegrityFailed:
            if await storage.engine.read((data_key,)) == [record]:
                raise
            return None  # Its chunks went with it meanwhile.


def _everywhere(components: Components) -> Gate:
    """A gate for housekeeping."""
    return Gate(components.host.runtime(), lambda: StoreClosed("the database is closed"))


def _nothing(_revision: int) -> None:
    """Nobody is told."""
