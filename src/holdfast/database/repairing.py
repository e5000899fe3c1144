"""Mending rows that follow from others: tags, expiries, graves, and the rows of indexes.

What follows from the values can be made anew from them, so it is; values, their past and the feed
follow from nothing, and are left as they are: `check` tells of them, and a backup has them. Each
row is decided inside its own commit, so that writes may go on meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from holdfast.codecs import envelope
from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreError
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.store import layout
from holdfast.store.instances import SharedDatabase
from holdfast.store.keyspaces import Keyspace
from holdfast.store.versions.rows import Rows
from holdfast.store.views import Enough, Report

if TYPE_CHECKING:
    from holdfast.documents.collections import Collections

#: The views whose rows these are.
VIEWS: Final = ("entries", "documents")


async def repair(
    collections: Callable[[], Collections], shared: SharedDatabase, engine: Engine
) -> list[str]:
    """Mend what can be; a line for each thing that was done.

    Args:
        collections: gives those of the handle, where there is a collection to be mended.
        shared: the database.
        engine: as the handle sees it.
    """
    told: list[str] = []
    keyspaces = [one async for one in shared.keyspaces.list() if one.view in VIEWS]
    for keyspace in keyspaces:
        keeper = shared.view_of(keyspace.view)
        if keeper is None:
            continue
        report = Report()
        try:
            await keeper.check(engine, keyspace, report, None)
        except (StoreError, Enough):
            report.faults.append("it cannot be read to its end")
        if not report.faults:
            continue
        mending = _Mending(engine, Rows(keyspace), told)
        await mending.run()
        if keyspace.view == "documents":
            await _rebuild(collections(), keyspace, told)
    return told


# --- Inside -----------------------------------------------------------------------------------


class _Mending:
    """The rows of one keyspace.

    Args:
        engine: of the database.
        rows: where they stand.
        told: what was done is added here.
    """

    def __init__(self, engine: Engine, rows: Rows, told: list[str]) -> None:
        self._engine = engine
        self._rows = rows
        self._told = told
        self._tagged = rows.keyspace.view == "entries"

    async def run(self) -> None:
        """Add what is missing, and remove what is left over."""
        rows, number = self._rows, self._rows.keyspace.number
        async for data_key, record in self._walk(Range.prefix(rows.data)):
            for key in self._linked(data_key, record):
                await self._settle(data_key, key)
            await self._settle(data_key, rows.grave_key(data_key))
        async for key, _ in self._walk(Range.prefix(rows.tags)):
            name = self._tagged_key(key)
            await self._settle(None if name is None else rows.data + name, key)
        async for key, _ in self._walk(Range(layout.EXPIRY, after_prefix(layout.EXPIRY))):
            _, data_key = layout.expiry_of(key)
            if layout.keyspace_of(data_key) == number:
                await self._settle(data_key, key)

    async def _walk(self, range: Range) -> AsyncIterator[tuple[bytes, Record]]:
        rest: Range | None = range
        while rest is not None:
            page = await self._engine.scan(rest)
            rest = page.resume
            for row in page.rows:
                yield row

    def _linked(self, data_key: bytes, record: Record | None) -> set[bytes]:
        """The rows that a value has to have."""
        if record is None:
            return set()
        try:
            head = envelope.header_of(record.value)
            tags = envelope.extras_of(record.value, head.extras_length).tags
        except StoreError:
            return set()  # It cannot be read: `check` tells of it.
        linked = {self._rows.tag_key(tag, data_key) for tag in tags if self._tagged}
        if head.expires_at_ms:
            linked.add(layout.expiry_key(head.expires_at_ms, data_key))
        return linked

    def _tagged_key(self, key: bytes) -> bytes | None:
        """The packed key that a row of tags names; None: it cannot be read."""
        rest = key[len(self._rows.tags) :]
        end = rest.find(b"\0")
        while end >= 0 and rest[end + 1 : end + 2] == b"\xff":
            end = rest.find(b"\0", end + 2)
        return None if end < 0 else rest[end + 1 :]

    async def _settle(self, data_key: bytes | None, key: bytes) -> None:
        """Have a row that follows from a value be there exactly if it has to."""
        done: str | None = None
        keys = [key] if data_key is None else [key, data_key]

        def decide(records: list[Record | None], _revision: int) -> Draft | None:
            nonlocal done
            done = None
            row, value = records[0], records[1] if data_key is not None else None
            grave = key.startswith(self._rows.graves)
            linked = set() if grave or data_key is None else self._linked(data_key, value)
            wanted = key in linked
            if wanted == (row is not None) or (grave and value is None):
                return None
            done = "made" if wanted else "removed"
            draft = Draft()
            draft.rows[key] = b"" if wanted else None
            return draft

        if decide(await self._engine.read(keys), 0) is None:
            return  # All is well, as it mostly is.
        await self._engine.transact(keys, decide)
        if done is not None:
            self._told.append(f"{done} {self._what(key)} of {self._rows.keyspace.name!r}")

    def _what(self, key: bytes) -> str:
        if key.startswith(layout.EXPIRY):
            return "a row of expiry"
        return "a grave" if key.startswith(self._rows.graves) else "a row of tags"


async def _rebuild(collections: Collections, keyspace: Keyspace, told: list[str]) -> None:
    """Build the indexes of a collection anew where their rows disagree with its documents."""
    from holdfast.documents.indexing import build as building

    storage = await collections.require(keyspace.name, None)
    catalogue = await storage.catalogue()
    for index in catalogue.indexes:
        if index.state == "failed":
            continue
        await building.rebuild(storage, index.name)
        told.append(f"built the index {index.name!r} of {keyspace.name!r} anew")
