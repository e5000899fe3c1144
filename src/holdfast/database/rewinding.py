"""Restoring to a moment between backups: a later backup, taken back by the past that it holds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from holdfast.backups.rewinding import changed_since, revision_at, rewind, rows_of
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record
from holdfast.documents.indexes.definition import (
    CATALOGUE,
    INDEX,
    catalogue_key,
    count_key,
    pack_catalogue,
    read_catalogue,
)
from holdfast.documents.indexes.derived import pack_count
from holdfast.documents.indexing import build as building
from holdfast.store import layout

if TYPE_CHECKING:
    from holdfast.backups.rewinding import Changed, Row
    from holdfast.database.handle import Database

_STEP_ROWS = 1_000


class Rewinding:
    """Takes a database that is being restored back to a moment.

    Args:
        at: the revision, or an aware instant.

    Attributes:
        revision: that it came to.
        collections: names of those whose indexes have to be built.
    """

    def __init__(self, at: int | datetime) -> None:
        self._at = at
        self.revision = 0
        self.collections: list[str] = []

    async def rows(self, engine: Engine) -> None:
        """Take the rows back, before the database counts as one. Raises VersionNotFound."""
        at = self._at
        self.revision = await revision_at(engine, at) if isinstance(at, datetime) else at
        changed = await changed_since(engine, self.revision)
        await rewind(engine, self.revision, changed)
        for one in changed:
            if one.keyspace.view == "documents":
                await self._unbuild(engine, one)

    async def indexes(self, db: Database) -> None:
        """Build the indexes of the documents that were taken back; the database is open."""
        for name in self.collections:
            storage = await db.collection(name)._require()  # noqa: SLF001 - ours
            for index in (await storage.catalogue()).indexes:
                if index.state == "building":
                    await building.build(storage, index)

    async def _unbuild(self, engine: Engine, changed: Changed) -> None:
        """Have all indexes of a collection built anew: their rows follow from its documents."""
        number = changed.keyspace.number
        [row] = await engine.read([catalogue_key(number)])
        if row is None or not engine.capabilities.persistent:
            return
        catalogue = read_catalogue(row.value)
        indexes = tuple(
            one
            if one.state == "failed"
            else msgspec.structs.replace(one, state="building", arrays=())
            for one in catalogue.indexes
        )
        step: list[Row] = []
        for region in (CATALOGUE, INDEX):
            async for key, _ in rows_of(engine, Range.prefix(layout.region(number, region))):
                step.append((key, None))
                if len(step) >= _STEP_ROWS:
                    await engine.load(step)
                    step = []
        documents = 0
        async for _ in rows_of(engine, Range.prefix(layout.region(number, layout.DATA))):
            documents += 1
        changed_row = msgspec.structs.replace(catalogue, indexes=indexes)
        step.append((catalogue_key(number), Record(pack_catalogue(changed_row), row.revision)))
        if catalogue.documents_max:
            step.append((count_key(number), Record(pack_count(documents), row.revision)))
        await engine.load(step)
        self.collections.append(changed.keyspace.name)
