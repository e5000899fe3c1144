"""How entries are put together for a handle: the core with its services, decorators around it."""

from __future__ import annotations

from holdfast.contract.runtime import Components
from holdfast.records.decorators.validated import Validated
from holdfast.records.hashing import Sha256HashingService
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.keys import PathKeyService
from holdfast.records.locks import GrantingLockService
from holdfast.records.metadata import StandardMetadataService
from holdfast.records.requirements import Requirements
from holdfast.records.storage import EngineEntryStorage
from holdfast.records.store import KeyValueStore


class EntryComposition:
    """Makes the views of one handle on the entries of its database.

    Args:
        storage: of the whole database.
        components: clock and ids of metadata.

    Attributes:
        requirements: what namespaces require, with the schemas: one for all views.
    """

    def __init__(self, storage: EngineEntryStorage, components: Components) -> None:
        self._components = components
        self.requirements = Requirements(self._core(storage, privileged=True), components.clock)

    def view(self, storage: EngineEntryStorage) -> KeyValueStoreInterface:
        """The entries of a storage: those of the database, a transaction or a snapshot."""
        return Validated(self._core(storage), self.requirements)

    def _core(self, storage: EngineEntryStorage, *, privileged: bool = False) -> KeyValueStore:
        components = self._components
        return KeyValueStore(
            storage=storage,
            keys=PathKeyService(),
            hashing=Sha256HashingService(),
            metadata=StandardMetadataService(components.clock, components.ids),
            locks=GrantingLockService(),
            privileged=privileged,
        )
