"""The views of a database: what keeps each, and how transactions and snapshots have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.contract.engine import Engine
from holdfast.records.compose import Entries
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.view import ENTRIES, EntryKeeper
from holdfast.store.instances import SharedDatabase
from holdfast.store.versions.entry import PendingRevision
from holdfast.store.views import ViewKeeper
from holdfast.stores.multistore import MultiStore
from holdfast.stores.view import STORES, StoreKeeper

if TYPE_CHECKING:
    from holdfast.documents.collections import Collections

#: The view of documents, by name: its package is loaded when something first needs it.
DOCUMENTS: Final = "documents"
#: The view of state, likewise.
STATE: Final = "state"


class Views(NamedTuple):
    """What a transaction or a snapshot hands out.

    Attributes:
        entries: values with metadata and history.
        stores: named stores of plain bytes.
        collections: typed documents, loaded when they are asked for.
        engine: what it is; state is seen through it (`store.on(transaction)`).
    """

    entries: KeyValueStoreInterface
    stores: MultiStore
    collections: Callable[[], Collections]
    engine: Engine


#: Makes the views on a transaction (with the revision it will have) or on a snapshot.
ViewsOn = Callable[[Engine, PendingRevision | None], Views]


class _Keepers(Mapping[str, ViewKeeper]):
    """The keepers by view, each made when its view is first met: most programs use one or two."""

    def __init__(
        self, shared: SharedDatabase, makers: Mapping[str, Callable[[SharedDatabase], ViewKeeper]]
    ) -> None:
        self._shared = shared
        self._makers = makers
        self._made: dict[str, ViewKeeper] = {}

    def __getitem__(self, view: str) -> ViewKeeper:
        made = self._made.get(view)
        if made is None:
            made = self._made.setdefault(view, self._makers[view](self._shared))
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def keepers(shared: SharedDatabase) -> Mapping[str, ViewKeeper]:
    """What keeps the rows of each view that this program knows."""
    return _Keepers(
        shared,
        {
            ENTRIES: EntryKeeper,
            STORES: StoreKeeper,
            DOCUMENTS: _document_keeper,
            STATE: _state_keeper,
        },
    )


def _document_keeper(shared: SharedDatabase) -> ViewKeeper:
    from holdfast.documents.view import DocumentKeeper

    return DocumentKeeper(shared)


def _state_keeper(shared: SharedDatabase) -> ViewKeeper:
    from holdfast.state.embedded.view import StateKeeper

    return StateKeeper(shared)


def views_on(
    entries: Entries, stores: MultiStore, collections: Callable[[], Collections]
) -> ViewsOn:
    """The views of a handle, seen through a transaction or a snapshot."""

    def on(engine: Engine, pending: PendingRevision | None) -> Views:
        storage = entries.storage.on(engine, pending)
        return Views(
            entries.composition.view(storage),
            stores.on(engine),
            cache(lambda: collections().on(engine, pending)),
            engine,
        )

    return on
