"""The views of a database: what keeps each, and how transactions and snapshots have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from holdfast.contract.engine import Engine
from holdfast.documents.collections import DOCUMENTS, Collections
from holdfast.documents.view import DocumentKeeper
from holdfast.records.compose import Entries
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.view import ENTRIES, EntryKeeper
from holdfast.store.instances import SharedDatabase
from holdfast.store.versions.entry import PendingRevision
from holdfast.store.views import ViewKeeper
from holdfast.stores.multistore import MultiStore
from holdfast.stores.view import STORES, StoreKeeper


class Views(NamedTuple):
    """What a transaction or a snapshot hands out.

    Attributes:
        entries: values with metadata and history.
        stores: named stores of plain bytes.
        collections: typed documents.
    """

    entries: KeyValueStoreInterface
    stores: MultiStore
    collections: Collections


#: Makes the views on a transaction (with the revision it will have) or on a snapshot.
ViewsOn = Callable[[Engine, PendingRevision | None], Views]


def keepers(shared: SharedDatabase) -> Mapping[str, ViewKeeper]:
    """What keeps the rows of each view that this program knows."""
    return {
        ENTRIES: EntryKeeper(shared),
        STORES: StoreKeeper(shared),
        DOCUMENTS: DocumentKeeper(shared),
    }


def views_on(entries: Entries, stores: MultiStore, collections: Collections) -> ViewsOn:
    """The views of a handle, seen through a transaction or a snapshot."""

    def on(engine: Engine, pending: PendingRevision | None) -> Views:
        storage = entries.storage.on(engine, pending)
        return Views(
            entries.composition.view(storage), stores.on(engine), collections.on(engine, pending)
        )

    return on
