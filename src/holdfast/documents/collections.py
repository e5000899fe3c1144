"""The collections of a database: finds and makes their keyspaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import escape
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    InvalidName,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Cursor
from holdfast.contract.runtime import Components
from holdfast.documents.observing.hooks import Hooks
from holdfast.documents.storage import DocumentStorage
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.runtime.gate import Gate
from holdfast.store.feed.watch import Changes, Watch
from holdfast.store.keyspaces import History, Keyspace, Keyspaces, KeyspaceSettings
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.space import Space
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import PendingRevision
from holdfast.store.versions.plan import Policies

if TYPE_CHECKING:
    from holdfast.documents.live.hub import LiveHub
    from holdfast.documents.observing.observers import Observers

#: The name of the view.
DOCUMENTS: Final = "documents"
HISTORIES: Final = ("values", "versions", "none")


class Collections:
    """The collections of a database, as one handle, transaction or snapshot sees them.

    Args:
        engine: the engine, or one transaction's or snapshot's view of it.
        keyspaces: the directory.
        retention: what is kept of the past.
        values: how documents are serialised.
        components: clock and ids.
        wrote: told the revision of each commit.
        gate: of the handle.
        pending: the revision of what is written, where that is a transaction's.
        changes: of the handle; None in a transaction or a snapshot, where nothing is told.
    """

    def __init__(
        self,
        engine: Engine,
        keyspaces: Keyspaces,
        retention: Policies,
        values: Values,
        components: Components,
        wrote: Callable[[int], None],
        gate: Gate,
        pending: PendingRevision | None = None,
        changes: Changes | None = None,
    ) -> None:
        self.engine = engine
        self.components = components
        self.gate = gate
        self.values = values
        self._keyspaces = keyspaces
        self._retention = retention
        self.wrote = wrote
        self._pending = pending
        self._metadata = StandardMetadataService(components.clock, components.ids)
        self._opened: dict[str, DocumentStorage] = {}
        self._changes = changes
        self._hubs: dict[str, LiveHub] = {}
        #: By name, for as long as a collection object has them, or there are handlers: names come
        #: and go, and each is asked for.
        self._hooks: WeakValueDictionary[str, Hooks] = WeakValueDictionary()
        self._handled: dict[str, Hooks] = {}
        self._observers: dict[str, Observers] = {}

    def on(self, engine: Engine, pending: PendingRevision | None) -> Collections:
        """The same collections seen through a transaction or a snapshot."""
        # What is written there has no revision yet; the commit tells.
        view = Collections(
            engine, self._keyspaces, self._retention, self.values, self.components,
            _nothing, self.gate, pending,
        )  # fmt: skip
        view._hooks, view._handled = self._hooks, self._handled
        return view

    async def find(self, name: str) -> DocumentStorage | None:
        """The documents of a collection, or None where nothing was written yet."""
        self.gate.check()
        keyspace = await self._keyspaces.get(DOCUMENTS, name)
        return None if keyspace is None else self._storage(keyspace, made=False)

    def at_hand(self, name: str) -> DocumentStorage | None:
        """The same without a wait, if it was found before; None also where there may be some.

        Whoever uses it asks its space whether the handle may be used.
        """
        known = self._opened.get(name)
        keyspace = None if known is None else self._keyspaces.known(DOCUMENTS, name)
        if known is None or keyspace is None or keyspace.number != known.number:
            return None
        return known

    async def require(self, name: str, history: History | None) -> DocumentStorage:
        """The documents of a collection, which is made if it does not exist.

        Raises:
            InvalidInput: it keeps another history than the one asked for.
        """
        self.gate.check()
        keyspace = await self._keyspaces.get(DOCUMENTS, name)
        made = keyspace is None
        if keyspace is None:
            settings = KeyspaceSettings(
                history=history or "values", hashing=Sha256HashingService().name
            )
            keyspace = await self._keyspaces.require(DOCUMENTS, name, settings)
        if history is not None and keyspace.settings.history != history:
            raise InvalidInput(
                f"the collection {name!r} keeps history={keyspace.settings.history!r}; "
                f"found history={history!r}. Leave it out, or choose another name"
            )
        return self._storage(keyspace, made=made)

    async def drop(self, name: str) -> None:
        """Remove a collection with its documents, indexes and past. Raises StoreNotFound."""
        self.gate.check()
        if isinstance(self.engine, TransactionEngine | SnapshotEngine):
            raise Unsupported(
                "a collection is dropped outside of transactions and snapshots; do it on the "
                "database, or `clear` it here"
            )
        self._opened.pop(name, None)
        await self._keyspaces.drop(DOCUMENTS, name)

    async def names(self) -> list[str]:
        """The names of all collections, in order."""
        self.gate.check()
        return [one.name async for one in self._keyspaces.list(DOCUMENTS)]

    async def lost(
        self, name: str, engine: Engine | None = None, error: StoreNotFound | None = None
    ) -> None:
        """Somebody dropped the collection: it is looked for again.

        Args:
            name: of the collection.
            engine, error: of a write that found it dropped.

        Raises:
            Conflict: it is part of a transaction, all of which has to begin anew.
        """
        self._opened.pop(name, None)
        await self._keyspaces.refresh()
        if isinstance(engine, TransactionEngine):
            raise Conflict(
                f"the collection {name!r} was dropped after this transaction began; run all of it "
                "again",
                name=name,
            ) from error

    # --- What is told -----------------------------------------------------------------------

    def hooks(self, name: str) -> Hooks:
        """The handlers around the operations on a collection."""
        known = self._hooks.get(name)
        return known if known is not None else self._hooks.setdefault(name, Hooks(name))

    def keep_hooks(self, hooks: Hooks) -> None:
        """Hooks got a handler, or lost one: those with handlers stay."""
        if hooks.any:
            self._handled[hooks.name] = hooks
        else:
            self._handled.pop(hooks.name, None)

    def live_hub(self, name: str) -> LiveHub:
        """What keeps the live queries of a collection current.

        Raises:
            Unsupported: in a transaction or a snapshot.
        """
        from holdfast.documents.live.hub import LiveHub

        changes = self._require_changes()
        hub = self._hubs.get(name)
        if hub is None:
            hub = self._hubs[name] = LiveHub(
                lambda: self.find(name), lambda: self.lost(name),
                lambda: changes.join(DOCUMENTS, pattern_of(name)), self.gate, self.engine,
            )  # fmt: skip
        return hub

    def observers(self, name: str) -> Observers:
        """Those who are told what is committed to a collection.

        Raises:
            Unsupported: in a transaction or a snapshot.
        """
        from holdfast.documents.observing.observers import Observers

        changes = self._require_changes()
        known = self._observers.get(name)
        if known is None:
            known = self._observers[name] = Observers(
                name, DOCUMENTS, changes, lambda: changes.join(DOCUMENTS, pattern_of(name))
            )
        return known

    def watch(self, name: str, since: int | str | Cursor | None, *, snapshot: bool) -> Watch:
        """The changes of a collection. Raises Unsupported in a transaction or a snapshot."""
        return self._require_changes().watch(
            pattern_of(name), view=DOCUMENTS, since=since, snapshot=snapshot
        )

    def observing(self, name: str) -> Observers | None:
        """The same, if there are any."""
        known = self._observers.get(name)
        return known if known is not None and known.active else None

    async def committed(self, revision: int) -> None:
        """A commit of this handle: its observers are told before its writer goes on."""
        for one in list(self._observers.values()):
            if one.active:
                await one.committed(revision)
        for hub in self._hubs.values():
            hub.wake()

    async def close(self) -> None:
        """End what goes on by itself."""
        for hub in list(self._hubs.values()):
            await hub.close()
        for observers in list(self._observers.values()):
            await observers.close()

    def _require_changes(self) -> Changes:
        self.gate.check()
        if self._changes is None:
            raise Unsupported(
                "a transaction or snapshot sees one moment, and nothing in it is told; observe "
                "the collection of the database"
            )
        return self._changes

    def _storage(self, keyspace: Keyspace, *, made: bool) -> DocumentStorage:
        known = self._opened.get(keyspace.name)
        if known is not None and known.number == keyspace.number:
            return known
        # A transaction does not see the directory row of what was made after its moment.
        fenced = not (made and isinstance(self.engine, TransactionEngine))
        hubs, name, tell = self._hubs, keyspace.name, self.wrote

        def wrote(revision: int) -> None:
            tell(revision)
            if name in hubs:
                hubs[name].wake()

        space = Space(self.engine, keyspace, self.components.clock, wrote, self.gate, fenced=fenced)
        storage = DocumentStorage(
            space, self._retention, self.values, self._metadata, self._pending
        )
        self._opened[keyspace.name] = storage
        return storage


def checked_history(history: Any) -> History | None:
    """A setting of history. Raises InvalidInput."""
    if history is None or history in HISTORIES:
        return history  # type: ignore[no-any-return]
    raise InvalidInput(f"history is one of {', '.join(HISTORIES)}; found {history!r}")


def checked_name(name: Any) -> str:
    """The name of a collection. Raises InvalidName."""
    if not isinstance(name, str) or not name:
        raise InvalidName(
            "the name of a collection is a str of at least one character; found "
            + ("an empty one" if isinstance(name, str) else f"a {type(name).__name__}")
        )
    return str.__str__(name)


def pattern_of(name: str) -> Pattern:
    """What matches every change of a collection."""
    escaped = {"+": "%2B", "#": "%23"}.get(name) or escape(name)
    return Pattern(f"{escaped}:#")


def _nothing(_revision: int) -> None:
    """Nobody is told."""
