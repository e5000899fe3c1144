"""Transactions as users hold them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from holdfast.contract.engine import Engine
from holdfast.contract.errors import TransactionClosed
from holdfast.database.views import Views
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.runtime.gate import Gate
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.entry import PendingRevision
from holdfast.stores.multistore import MultiStore

if TYPE_CHECKING:
    from holdfast.documents.collection import Collection
    from holdfast.store.keyspaces import History

T = TypeVar("T")
State = Literal["new", "active", "committing", "committed", "rolled_back"]


class Transaction:
    """Reads of one moment and writes that happen together or not at all.

    Made by `Database.transaction`; an asynchronous context manager that commits at the end of its
    block and rolls back when the block raises. What it writes has a revision once it is committed:
    asking an entry for it before raises.

    Attributes:
        state: `new`, `active`, `committing`, `committed` or `rolled_back`.
        revision: of the commit, once committed; before that of the moment it reads.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[TransactionEngine]],
        views: Callable[[Engine, PendingRevision | None], Views],
        committed: Callable[[int], Awaitable[None]],
        gate: Gate,
    ) -> None:
        self._begin = begin
        self._make_views = views
        self._committed = committed
        self._gate = gate
        self._engine: TransactionEngine | None = None
        self._views: Views | None = None
        #: Of what it writes: known, for every entry it handed out, once it is committed.
        self._pending = PendingRevision()
        self.state: State = "new"
        self.revision = 0

    @property
    def id(self) -> str:
        """What the changes of this transaction carry as `transaction_id`."""
        return self._require_active().id.hex()

    @property
    def active(self) -> bool:
        """Whether it can still be used."""
        return self.state == "active"

    @property
    def entries(self) -> KeyValueStoreInterface:
        """The entries as this transaction sees them."""
        return self._require_views().entries

    @property
    def stores(self) -> MultiStore:
        """The named stores as this transaction sees them."""
        return self._require_views().stores

    @property
    def engine(self) -> Any:
        """What it reads and writes: `store.on(transaction)` of state asks for it."""
        return self._require_views().engine

    @overload
    def collection(self, name: str, *, history: History | None = None) -> Collection[Any]: ...
    @overload
    def collection(
        self, name: str, type: type[T], *, history: History | None = None
    ) -> Collection[T]: ...
    def collection(
        self, name: str, type: type[Any] | None = None, *, history: History | None = None
    ) -> Collection[Any]:
        """A collection as this transaction sees it; see `Database.collection`."""
        from holdfast.documents.open import collection_of

        return collection_of(self._require_views().collections(), name, type, history)

    async def begin(self) -> Self:
        """Take the snapshot; `async with` and `await` do."""
        self._gate.check()
        self._require_new()
        engine = await self._begin()
        try:
            self._gate.check()
            self._require_new()  # Another task may have begun it meanwhile.
            self._views = self._make_views(engine, self._pending)
            self._engine = engine
            self.revision = engine.snapshot_revision
            self.state = "active"
        except BaseException:
            engine.release()
            raise
        return self

    async def commit(self) -> int:
        """Write everything in one commit; its revision.

        Raises:
            Conflict: what it read changed meanwhile; nothing was written.
            TransactionClosed: it is over already.
        """
        engine = self._require_active()
        self._gate.check()
        try:
            self.state = "committing"
            revision = await engine.finish(self._finished)
        except BaseException:
            if not engine.over:
                self.state = "active"  # Interrupted before anything was done.
            raise
        await self._committed(revision)
        return revision

    def savepoint(self, name: str) -> None:
        """Remember this moment under a name, for `rollback_to`.

        Savepoints nest. A name that is there already is hidden until the new one is released.

        Raises:
            InvalidInput: the name cannot be one.
        """
        self._require_active().savepoint(name)

    def rollback_to(self, name: str) -> None:
        """Take back everything written since the savepoint. It stays, so that it can be used again.

        Raises:
            InvalidInput: there is no savepoint of that name.
        """
        self._require_active().rollback_to(name)

    def release(self, name: str) -> None:
        """Forget the savepoint and those set after it; what was written stays written.

        Raises:
            InvalidInput: there is no savepoint of that name.
        """
        self._require_active().release_savepoint(name)

    async def rollback(self) -> None:
        """Drop everything. Raises TransactionClosed when it is over already."""
        self._require_active().release()
        self.state = "rolled_back"
        self._pending.settle(None)

    def __await__(self) -> Generator[Any, None, Self]:
        return self.begin().__await__()

    async def __aenter__(self) -> Self:
        return await self.begin()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.active:
            return  # Committed or rolled back by hand inside the block.
        try:
            if error_type is None:
                await self.commit()
        finally:
            if self.active:  # Also when the handle was closed, and nothing can be committed.
                await self.rollback()

    def _finished(self, revision: int | None) -> None:
        """The commit has ended, at this revision or (None) with an error.

        Called with the commit itself, whether or not its caller still waits for it.
        """
        self.state = "rolled_back" if revision is None else "committed"
        self.revision = revision or self.revision
        self._pending.settle(revision)

    def _require_new(self) -> None:
        if self.state != "new":
            raise TransactionClosed(
                f"a transaction begins once; this one is {self.state}. Begin another one"
            )

    def _require_views(self) -> Views:
        self._require_active()
        assert self._views is not None
        return self._views

    def _require_active(self) -> TransactionEngine:
        if self._engine is None or not self.active:
            raise TransactionClosed(
                f"the transaction is {self.state.replace('_', ' ')}; "
                + (
                    "enter it with `with` (on a loop `async with`)"
                    if self.state == "new"
                    else "begin another one"
                )
            )
        return self._engine
