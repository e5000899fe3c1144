"""What entries need done when nobody asks: ending the expired, giving up the past."""

from __future__ import annotations

import logging

from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.runtime import Components
from holdfast.records.storage import EngineEntryStorage
from holdfast.runtime.gate import Gate
from holdfast.store.feed.feed import Feed
from holdfast.store.instances import Keeper
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.locks.lock import Locks
from holdfast.store.operation_log import OperationLog
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.retention import Retention
from holdfast.store.versions.rows import Rows

_log = logging.getLogger("holdfast")


class EntryKeeper(Keeper):
    """Keeps the entries of every keyspace of a database.

    Attributes:
        retention: its settings, shared by all handles of the process.
        locks: those of `Database.lock`, likewise.
        log: that of `Database.log`, likewise.
    """

    def __init__(self, engine: Engine, feed: Feed, keyspaces: Keyspaces) -> None:
        self._engine = engine
        self._components: Components = engine.components
        self.retention = Retention(engine, feed, keyspaces, engine.components.clock)
        self.locks = Locks(engine)
        self.log = OperationLog(engine)

    def rows(self, keyspace: Keyspace) -> Rows:
        """Where the entries of a keyspace stand."""
        return Rows(keyspace, self.retention.policy_of)

    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        storage = EngineEntryStorage(
            self._engine, self.rows(keyspace), Values(self._components.host),
            self._components.clock, lambda _revision: None, _everywhere(self._components),
        )  # fmt: skip
        return await storage.expire(data_keys)

    async def refresh(self) -> None:
        await self.retention.refresh()
        await self.log.flush()

    async def trim(self) -> None:
        await self.retention.trim()
        await self.locks.sweep()

    async def let_go(self, gate: Gate | None) -> None:
        """A handle closes: its locks are free, and what it logged is written."""
        try:
            await self.locks.let_go(gate)
        finally:
            try:
                await self.log.flush()
            except StoreError as error:
                _log.warning("the log of operations could not be written: %s", error)

    async def close(self) -> None:
        self.locks.stop()


def _everywhere(components: Components) -> Gate:
    """A gate for whoever keeps house just now."""
    return Gate(components.host.runtime(), lambda: StoreClosed("the database is closed"))
