"""The handle users hold, with the views of one database below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from holdfast.codecs.pattern import Pattern
from holdfast.contract.capability import Capabilities
from holdfast.contract.errors import ReadOnly
from holdfast.contract.record import Cursor
from holdfast.database.explain import explained
from holdfast.database.maintenance import Maintained
from holdfast.database.scope import Scope, Whole
from holdfast.database.snapshot import Opening, SnapshotView
from holdfast.database.transaction import Transaction
from holdfast.database.views import views_on
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.payloads import Absent, form_payload
from holdfast.runtime.working import checked_work, worked
from holdfast.store.feed.subscription import SubscriptionFacts
from holdfast.store.feed.watch import Watch
from holdfast.store.isolation import IsolationLevel, IsolationName
from holdfast.store.locks.lock import TTL_S, Lock
from holdfast.store.operation_log import OperationLog
from holdfast.store.retrying import RETRIES, retried
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine
from holdfast.stores.multistore import MultiStore

if TYPE_CHECKING:
    from holdfast.documents.collection import Collection
    from holdfast.records.schemas.registry import SchemaRegistry
    from holdfast.store.keyspaces import History
    from holdfast.stores.audit.audit import Audit

T = TypeVar("T")


class Database(Maintained):
    """A database and its views. Made by `holdfast.open`; an asynchronous context manager.

    It belongs to the event loop it was opened on. Handles of one process on one path share the
    engine, so opening it again, on another loop or in another thread, is cheap and right.
    """

    # --- Opening and closing ----------------------------------------------------------------

    async def open(self) -> Self:
        """Open it; `async with` and `await holdfast.open(...)` do."""
        await self._open()
        return self

    async def close(self) -> None:
        """Flush what is acknowledged and let go; closing twice does nothing.

        A close that was cancelled or interrupted goes on when it is called again.
        """
        await self._close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.open().__await__()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "open" if self._shared is not None else "closed" if self._closed else "not open"
        return f"<Database {self.config.url} ({state})>"

    # --- Views ------------------------------------------------------------------------------

    @property
    def entries(self) -> KeyValueStoreInterface:
        """Values with metadata and history, in namespaces."""
        return self._open_parts().view

    @property
    def stores(self) -> MultiStore:
        """Named stores of plain bytes under byte keys, in order."""
        if self._stores is None:
            raise self._refuse()
        return self._stores

    @property
    def audit(self) -> Audit:
        """The feed as a log that proves itself: heads, receipts, and whether all still holds."""
        from holdfast.stores.audit.audit import Audit  # Most programs never ask.

        return Audit(self._open_engine(), self._require_shared().feed, self._require_gate())

    @overload
    def collection(self, name: str, *, history: History | None = None) -> Collection[Any]: ...
    @overload
    def collection(
        self, name: str, type: type[T], *, history: History | None = None
    ) -> Collection[T]: ...
    def collection(
        self, name: str, type: type[Any] | None = None, *, history: History | None = None
    ) -> Collection[Any]:
        """The collection of that name: typed documents with queries and indexes.

        Args:
            name: as long as nothing is written into it, it does not exist and is empty.
            type: of its documents: dict, a dataclass, a msgspec Struct, a TypedDict or a pydantic
                model; left out: plain documents.
            history: of what changes, keep the `values`, the `versions` without them, or `none`;
                left out: what it was made with, and `values` for a new one.

        Raises:
            InvalidName, InvalidInput: the arguments cannot be.
        """
        from holdfast.documents.open import collection_of

        return collection_of(self._require_collections(), name, type, history)

    @property
    def schemas(self) -> SchemaRegistry:
        """What values have to fit: registered schemas, requirements and migrations."""
        return self._open_parts().composition.rules.registry

    @overload
    async def create_payload(
        self,
        mapping: Mapping[str, Any],
        *,
        missing: Absent = "raise",
        default: object = None,
    ) -> dict[str, Any]: ...
    @overload
    async def create_payload(
        self,
        mapping: Mapping[str, Any],
        *,
        into: type[T],
        missing: Absent = "raise",
        default: object = None,
    ) -> T: ...
    async def create_payload(
        self,
        mapping: Mapping[str, Any],
        *,
        into: type[Any] = dict,
        missing: Absent = "raise",
        default: object = None,
    ) -> Any:
        """One object from the values of several keys, all of one moment.

        Args:
            mapping: keys by field; a mapping in place of a key makes a nested object.
            into: dict, a dataclass, a msgspec Struct or a pydantic model.
            missing: what becomes of a field without an entry: `raise` KeyNotFound with `field`,
                `default`, or `omit` the field.
            default: for `default`.

        Raises:
            SchemaValidationFailed: the values do not make one of `into`.
        """
        async with self.snapshot() as view:
            return await form_payload(
                view.entries, mapping, into=into, missing=missing, default=default
            )

    def scope(self, *segments: str) -> Scope:
        """What lies below these segments, called from there on; no key and no pattern leaves it.

        Segments are literal, whatever characters they hold: the name of a user can be one.

        Raises:
            InvalidKey, InvalidInput: the segments cannot be.
        """

        def lock(namespace: str, ttl: float | timedelta, timeout: float | timedelta | None) -> Lock:
            return self.lock(namespace, ttl=ttl, timeout=timeout)

        def collection(
            name: str, kind: type[Any] | None, history: History | None
        ) -> Collection[Any]:
            return self.collection(name, kind or dict, history=history)

        whole = Whole(self.entries, self._require_changes(), self.stores, lock, collection)
        return Scope(segments, whole)

    # --- Facts ------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What the engine, as configured, can do."""
        return self._open_engine().capabilities

    @property
    def revision(self) -> int:
        """The highest revision this handle has seen; `await head()` asks the engine."""
        self._open_engine()
        return self._revision

    @property
    def cursor(self) -> str:
        """`revision` with the lineage it belongs to: fit to be kept outside the process."""
        return str(Cursor(self._open_engine().lineage, self.revision))

    async def head(self) -> int:
        """The revision of the newest commit, of any process."""
        self._guard()
        self._revision = max(self._revision, await self._open_engine().head())
        return self._revision

    async def explain(self) -> dict[str, Any]:
        """What stands below this handle, from the view to the engine, and what it can do."""
        below = await explained(self._open_engine(), self.entries, self._require_shared())
        return {"url": self.config.url, "revision": await self.head()} | below

    # --- Changes ----------------------------------------------------------------------------

    def watch(
        self,
        pattern: Pattern | str = "#",
        *,
        view: str = "entries",
        since: int | str | Cursor | None = None,
        snapshot: bool = False,
        conflate: bool = False,
        limit: int | None = None,
    ) -> Watch:
        """The changes of keys that match, in commit order, those to come included.

        Args:
            pattern: see `Pattern`; a text is an mqtt pattern. Of stores and collections it
                matches their name, then the key: `ledger:#`.
            view: whose changes: `entries`, `documents`, `stores`, `state`, or `*` for all in commit
                order.
            since: a `change.cursor`, `db.cursor` or revision: every change after it. Left out:
                from now on.
            snapshot: first the values as they stand, then a change with `op="snapshot_end"`.
            conflate: of changes that are waiting, only the newest of each key.
            limit: the watch ends after so many; fewer are read of those that there are.

        Raises:
            InvalidInput: a view that this database does not know.
            Compacted: changes after `since` are gone, or the cursor is of another lineage.
        """
        self._guard()
        return self._require_changes().watch(
            pattern, view=view, since=since, snapshot=snapshot, conflate=conflate, limit=limit
        )

    def subscriptions(self) -> list[SubscriptionFacts]:
        """How each subscriber of this handle's `entries` fares, in the order they came."""
        return self._open_parts().events.subscriptions()

    @property
    def log(self) -> OperationLog:
        """The operations of handles opened with `logged=True`, in whatever process."""
        return self._require_shared().log

    # --- Locks ------------------------------------------------------------------------------

    def lock(
        self,
        namespace: str,
        *,
        ttl: float | timedelta = TTL_S,
        timeout: float | timedelta | None = None,
    ) -> Lock:
        """The mutex of a namespace, as an asynchronous context manager; see `Lock`.

        `await db.lock(...)` gives it held, to be released by hand.

        Args:
            namespace: such as `users/active`, itself alone; empty: the root.
            ttl: after which time the lock of a killed process is free.
            timeout: how long to wait; left out: as long as it takes.

        Raises:
            InvalidKey, InvalidInput: the arguments cannot be.
            ReadOnly: the handle was opened for reading.
        """
        self._guard()
        if not self._open_engine().capabilities.writable:
            raise ReadOnly("a lock writes its lease; this handle was opened for reading only")
        renews, gate = self._with_housekeeping, self._require_gate()
        return self._require_shared().locks.lock(namespace, ttl, timeout, gate, renews=renews)

    # --- Transactions and snapshots ---------------------------------------------------------

    def transaction(
        self, isolation: IsolationName | IsolationLevel = "serializable", *, read_only: bool = False
    ) -> Transaction:
        """A transaction, as an asynchronous context manager.

        It commits when the block ends and rolls back when it raises; `await db.transaction()`
        gives one that has begun, to be committed or rolled back by hand. Isolation is
        `read_committed`, `repeatable_read` (also `snapshot`) or `serializable`.

        Raises (at the end of the block):
            Conflict: what it read changed meanwhile; nothing was written. See `transact`.
        """
        self._guard()
        level = IsolationLevel.parse(isolation)
        parts = self._open_parts()
        engine = self._open_engine()

        async def begin() -> TransactionEngine:
            return await TransactionEngine.begin(engine, level, read_only=read_only)

        views = views_on(parts, self.stores, self._require_collections)
        return Transaction(begin, views, self._committed, self._require_gate())

    async def transact(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        *,
        isolation: IsolationName | IsolationLevel = "serializable",
        retries: int = RETRIES,
    ) -> T:
        """Run `work(transaction)` and commit; run it again after a Conflict, `retries` times.

        Raises:
            Conflict: it lost every time.
            InvalidInput: the arguments cannot be.
        """
        checked_work(work, "a transaction")

        async def attempt() -> T:
            async with self.transaction(isolation) as transaction:
                return await worked(work, transaction, "a transaction")

        return await retried(attempt, self._components, retries)

    def snapshot(self) -> Opening:
        """A fixed view of this moment, as an asynchronous context manager.

        `await db.snapshot()` gives one to be closed by hand.
        """
        self._guard()
        return Opening(self._snapshot)

    async def _snapshot(self) -> SnapshotView:
        self._guard()
        engine = self._open_engine()
        view = SnapshotEngine(engine, await engine.snapshot())
        try:
            views = views_on(self._open_parts(), self.stores, self._require_collections)
            return SnapshotView(view, views(view, None))
        except BaseException:
            # Of a handle that was closed while this waited, for one.
            await view.close()
            raise
