"""How entries are put together for a handle: the core with its services, decorators around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from holdfast.contract.engine import Engine
from holdfast.contract.runtime import Components
from holdfast.records.core import KeyValueStore
from holdfast.records.decorators.cached import Cached
from holdfast.records.decorators.evented import Evented
from holdfast.records.decorators.logged import Logged
from holdfast.records.decorators.validated import Validated
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.paging import PagedEntryStorage
from holdfast.records.rules import Rules
from holdfast.records.services.granting import GrantingLockService
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.view import ENTRIES, entry_storage
from holdfast.runtime.gate import Gate
from holdfast.store.feed.dispatcher import Dispatcher, ViewSource
from holdfast.store.feed.watch import Changes
from holdfast.store.instances import SharedDatabase
from holdfast.store.keyspaces import Keyspace, KeyspaceSettings
from holdfast.store.operation_log import LoggingService
from holdfast.store.space import Space
from holdfast.store.versions.cache import CacheLimits, EntryCache
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.rows import Rows


class Wishes(NamedTuple):
    """What a handle is to have besides what every handle has.

    Attributes:
        logged: each operation is logged.
        cached: how much is kept in memory for reading; None: nothing.
    """

    logged: bool = False
    cached: CacheLimits | None = None


NO_WISHES: Final = Wishes()


class Extras(NamedTuple):
    """What becomes of the wishes.

    Attributes:
        gate: of the handle.
        log: is told of each operation; None: no log.
        cache: serves what was read before; None: no cache.
    """

    gate: Gate
    log: LoggingService | None = None
    cache: EntryCache | None = None


class Entries(NamedTuple):
    """The parts of a view of entries."""

    storage: PagedEntryStorage
    composition: EntryComposition
    view: Evented
    events: Dispatcher


async def open_entries(
    engine: Engine,
    shared: SharedDatabase,
    changes: Changes,
    values: Values,
    wishes: Wishes,
    wrote: Callable[[int], None],
    gate: Gate,
) -> Entries:
    """The entries of a database as one handle has them."""
    components = shared.components
    settings = KeyspaceSettings(hashing=Sha256HashingService().name)
    if engine.capabilities.writable:
        keyspace = await shared.keyspaces.require(ENTRIES, ENTRIES, settings)
    else:
        found = await shared.keyspaces.get(ENTRIES, ENTRIES)
        # Nothing was ever written: a keyspace of that number holds nothing either.
        keyspace = found or Keyspace(ENTRIES, ENTRIES, 0, settings)
    space = Space(engine, keyspace, components.clock, wrote, gate)
    storage = entry_storage(space, shared.retention, values)
    cache = None
    if wishes.cached is not None:
        cache = EntryCache(engine, shared.feed, Rows(keyspace), components.clock, wishes.cached)
    if wishes.logged:
        shared.wrote()  # The housekeeping begins: it writes the log.
    extras = Extras(gate, shared.log if wishes.logged else None, cache)
    composition = EntryComposition(storage, components, extras)
    source = ViewSource(changes, ENTRIES)
    events = Dispatcher(source, components, components.host.runtime(), gate)
    view = Evented(composition.entries(storage), events)
    return Entries(storage, composition, view, events)


class EntryComposition:
    """Makes the views of one handle on the entries of its database.

    Args:
        storage: of the whole database.
        components: clock and ids of metadata.
        extras: log and cache, where wanted.

    Attributes:
        rules: what namespaces require, with the schemas: one for all views.
    """

    def __init__(self, storage: PagedEntryStorage, components: Components, extras: Extras) -> None:
        self._keys = PathKeyService()
        self._hashing = Sha256HashingService()
        self._metadata = StandardMetadataService(components.clock, components.ids)
        self._extras = extras
        self.rules = Rules(self._core(storage, privileged=True), components.clock)

    def entries(self, storage: PagedEntryStorage) -> KeyValueStoreInterface:
        """The entries of the database: what a handle has under `Evented`."""
        core: KeyValueStoreInterface = self._core(storage)
        gate, _, cache = self._extras
        return self._around(core if cache is None else Cached(core, cache, gate))

    def view(self, storage: PagedEntryStorage) -> KeyValueStoreInterface:
        """The entries of a storage that is a transaction's or a snapshot's: without the cache."""
        return self._around(self._core(storage))

    def committed(self) -> None:
        """A transaction of the handle was committed."""
        if self._extras.cache is not None:
            self._extras.cache.suspect()

    def _around(self, inner: KeyValueStoreInterface) -> KeyValueStoreInterface:
        judged = Validated(inner, self.rules)
        log = self._extras.log
        return judged if log is None else Logged(judged, log)

    def _core(self, storage: PagedEntryStorage, *, privileged: bool = False) -> KeyValueStore:
        # One of each for all views of a handle: a transaction finds the keys remembered.
        return KeyValueStore(
            storage=storage,
            keys=self._keys,
            hashing=self._hashing,
            metadata=self._metadata,
            locks=GrantingLockService(),
            privileged=privileged,
        )
