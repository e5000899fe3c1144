"""A collection inside a transaction of its own: explicit begin, savepoints, commit and rollback."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from holdfast.codecs.typed import Typed
from holdfast.contract.errors import InvalidInput, TransactionAborted, TransactionClosed
from holdfast.contract.runtime import Background, Runtime
from holdfast.documents.collections import Collections, checked_name
from holdfast.documents.matching import Matching
from holdfast.documents.storage import DocumentStorage
from holdfast.runtime.drive import seconds_to_wait
from holdfast.store.isolation import IsolationLevel
from holdfast.store.keyspaces import History
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import PendingRevision

T = TypeVar("T")

TransactionState = Literal["active", "committed", "aborted"]


class CollectionTransaction(Matching[T]):
    """A collection inside a transaction; made by `Collection.begin_transaction`.

    It sees its own writes, nobody else does before `commit`. As an asynchronous context manager it
    commits at the end of its block and rolls back when that raises. What it read is checked at the
    commit, by its isolation. Other collections are in it by `collection`.
    """

    def __init__(
        self,
        name: str,
        typed: Typed[T],
        collections: Collections,
        history: History | None,
        own: OwnTransaction,
        values: Values | None = None,
    ) -> None:
        super().__init__(name, typed, collections, history)
        self._values = values
        self._transaction = own

    @property
    def id(self) -> str:
        """What its changes carry as `transaction_id`."""
        return self._transaction.engine.id.hex()

    @property
    def state(self) -> TransactionState:
        """`active`, then `committed` or `aborted`."""
        return self._transaction.state

    def collection(self, name: str, type: Any = None) -> CollectionTransaction[Any]:
        """Another collection as this transaction sees it. Raises InvalidName, InvalidInput."""
        return CollectionTransaction(
            checked_name(name), Typed(type), self._collections, None, self._transaction
        )

    async def commit(self) -> None:
        """Write everything in one commit.

        Raises:
            Conflict: what it read changed meanwhile; nothing was written.
            TransactionAborted: it was rolled back, or ran out of time.
            TransactionClosed: it is committed already.
        """
        await self._transaction.commit()

    async def rollback(self) -> None:
        """Drop everything. Raises TransactionAborted or TransactionClosed when it is over."""
        self._transaction.require_active()
        self._transaction.abort("it was rolled back")

    async def savepoint(self, name: str) -> None:
        """Remember this moment under a name, for `rollback_to`; savepoints nest.

        Raises:
            InvalidInput: the name cannot be one.
        """
        self._transaction.require_active()
        self._transaction.engine.savepoint(name)

    async def rollback_to(self, name: str) -> None:
        """Take back what was written since the savepoint, which stays. Raises InvalidInput."""
        self._transaction.require_active()
        self._transaction.engine.rollback_to(name)

    async def release(self, name: str) -> None:
        """Forget the savepoint and those set after it. Raises InvalidInput."""
        self._transaction.require_active()
        self._transaction.engine.release_savepoint(name)

    async def __aenter__(self) -> Self:
        self._transaction.require_active()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error_type is None and self.state == "active":
                await self.commit()
        finally:
            if self.state == "active":
                self._transaction.abort("its block raised")

    async def _find(self) -> DocumentStorage | None:
        self._transaction.require_active()
        return await super()._find()

    async def _require(self) -> DocumentStorage:
        self._transaction.require_active()
        return await super()._require()


class OwnTransaction:
    """The transaction below a `CollectionTransaction`, and how long it may take.

    Args:
        base: the collections outside of it.
        engine: of the transaction.
        timeout_s: after which it is rolled back; None: never.
    """

    def __init__(
        self, base: Collections, engine: TransactionEngine, timeout_s: float | None
    ) -> None:
        self.engine = engine
        self.state: TransactionState = "active"
        self._base = base
        self._pending = PendingRevision()
        self.view = base.on(engine, self._pending)
        self._why = ""
        self._clock = base.components.clock
        self._timeout_s = timeout_s
        self._until = None if timeout_s is None else self._clock.monotonic() + timeout_s
        self._timer: Background | None = None
        if timeout_s is not None:
            runtime = base.gate.runtime
            self._timer = runtime.start(
                "holdfast transaction timeout", lambda: self._run_out(runtime, timeout_s)
            )

    def require_active(self) -> None:
        """Raise unless it can be used."""
        if self._until is not None and self._clock.monotonic() >= self._until:
            self._time_is_up()
        if self.state == "aborted":
            raise TransactionAborted(
                f"the transaction can be used no more: {self._why}. Run all of it again"
            )
        if self.state == "committed":
            raise TransactionClosed("the transaction is committed; begin another one")
        self._base.gate.check()

    async def commit(self) -> None:
        """Write everything in one commit."""
        self.require_active()
        self._stop_timer()
        try:
            revision = await self.engine.finish(self._finished)
        finally:
            if self.state == "active" and self.engine.over:
                self.abort("its commit failed")
        self._base.wrote(revision)
        await self._base.committed(revision)

    def abort(self, why: str) -> None:
        """Drop everything, and let go of its moment."""
        if self.state != "active":
            return
        self.state, self._why = "aborted", why
        self._stop_timer()
        self.engine.release()
        self._pending.settle(None)

    def _finished(self, revision: int | None) -> None:
        """The commit has ended, whether or not its caller still waits for it."""
        self.state = "aborted" if revision is None else "committed"
        self._why = "its commit was refused"
        self._pending.settle(revision)

    def _time_is_up(self) -> None:
        self.abort(f"it took longer than its {self._timeout_s} seconds")

    async def _run_out(self, runtime: Runtime, seconds: float) -> None:
        await runtime.sleep(seconds)
        self._timer = None  # This is its end.
        self._time_is_up()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()


async def begun(
    base: Collections,
    name: str,
    typed: Typed[T],
    history: History | None,
    isolation: str,
    timeout: float | timedelta | None,
    read_only: bool,
    values: Values | None,
) -> CollectionTransaction[T]:
    """A transaction that begins now. Raises InvalidInput."""
    level = IsolationLevel.parse(isolation)
    timeout_s = seconds_of(timeout)
    base.gate.check()
    engine = await TransactionEngine.begin(base.engine, level, read_only=read_only)
    try:
        base.gate.check()  # It may have been closed meanwhile.
        own = OwnTransaction(base, engine, timeout_s)
    except BaseException:
        engine.release()
        raise
    return CollectionTransaction(name, typed, own.view, history, own, values)


def seconds_of(timeout: Any) -> float | None:
    """A time-out in seconds. Raises InvalidInput."""
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidInput("timeout is seconds above 0, or a timedelta; found something else")
    return float(seconds_to_wait(seconds))
