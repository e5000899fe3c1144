"""`MultiStore`: the named stores of a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreNotFound, Unsupported
from holdfast.contract.runtime import Clock
from holdfast.runtime.gate import Gate
from holdfast.store.keyspaces import Keyspace, Keyspaces, KeyspaceSettings
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.space import Space
from holdfast.store.transaction import TransactionEngine
from holdfast.stores.store import Store

#: The name of the view.
STORES: Final = "stores"
#: Stores keep no past: their changes are told, and what they replaced is gone.
SETTINGS: Final = KeyspaceSettings(history="none")


class MultiStore:
    """The named stores of a database. They share its engine, its commits and its feed.

    Args:
        engine: the engine, or one transaction's or snapshot's view of it.
        keyspaces: the directory.
        clock: decides what has expired.
        wrote: told the revision of each commit.
        gate: of the handle.
    """

    def __init__(
        self,
        engine: Engine,
        keyspaces: Keyspaces,
        clock: Clock,
        wrote: Callable[[int], None],
        gate: Gate,
    ) -> None:
        self._engine = engine
        self._keyspaces = keyspaces
        self._clock = clock
        self._wrote = wrote
        self._gate = gate
        #: Whether it is a transaction's or a snapshot's.
        self._fixed = isinstance(engine, TransactionEngine | SnapshotEngine)

    def on(self, engine: Engine) -> MultiStore:
        """The same stores seen through a transaction or a snapshot."""
        # The directory too is that of the moment, and a drop meanwhile is a conflict.
        # What is written there has no revision yet; the commit tells.
        return MultiStore(engine, Keyspaces(engine), self._clock, _nothing, self._gate)

    async def create(self, name: str) -> Store:
        """A new, empty store.

        Raises:
            StoreExists: there is one of that name.
            InvalidName: the name is empty, too long, or no text.
            Unsupported: inside a transaction.
        """
        self._require_outside("created")
        found = await self._keyspaces.create(STORES, name, SETTINGS)
        self._wrote(0)
        return self._store(found)

    async def get(self, name: str) -> Store:
        """The store of that name. Raises StoreNotFound."""
        found = await self._find(name)
        if found is None:
            raise StoreNotFound(
                f"a store {name!r} was wanted; there is none. `db.stores.create` makes it, "
                "`db.stores.list` tells which there are",
                name=name,
            )
        return self._store(found)

    async def exists(self, name: str) -> bool:
        """Whether there is a store of that name."""
        return await self._find(name) is not None

    async def list(self) -> list[str]:
        """The names of all stores, in order."""
        self._gate.check()
        return [one.name async for one in self._keyspaces.list(STORES)]

    async def delete(self, name: str) -> None:
        """Remove a store with all its values. Whoever still has it gets StoreNotFound.

        Raises:
            StoreNotFound: there is none of that name.
            Unsupported: inside a transaction.
        """
        self._require_outside("deleted")
        await self._keyspaces.drop(STORES, name)

    async def _find(self, name: str) -> Keyspace | None:
        self._gate.check()
        if not self._fixed:
            # Another process may have dropped it, and made another one of that name.
            await self._keyspaces.refresh()
        return await self._keyspaces.get(STORES, name)

    def _store(self, keyspace: Keyspace) -> Store:
        space = Space(self._engine, keyspace, self._clock, self._wrote, self._gate, fenced=True)
        return Store(space)

    def _require_outside(self, what: str) -> None:
        self._gate.check()
        if self._fixed:
            raise Unsupported(
                f"a store is {what} outside of transactions and snapshots; do it on the database, "
                "before or after"
            )


def _nothing(_revision: int) -> None:
    """Nobody is told."""
