"""`StoreTransaction`: a transaction on one store that is a store itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Literal, Self

from holdfast.contract.errors import Conflict, TransactionAborted, TransactionClosed
from holdfast.store.durations import ttl_milliseconds
from holdfast.store.feed_row import NO_CONTEXT, WriteContext
from holdfast.store.isolation import IsolationLevel
from holdfast.store.transaction import TransactionEngine
from holdfast.stores.config import StoreConfig
from holdfast.stores.content import Content, Wish, Written
from holdfast.stores.home import Home
from holdfast.stores.lifecycle import BEGIN, COMMIT, ROLLBACK
from holdfast.stores.verbs import Verbs

Stage = Literal["new", "active", "committing", "committed", "rolled_back"]


class StoreTransaction(Verbs):
    """Reads and writes of one store that happen together or not at all.

    It has every verb of a store and sees its own writes; nobody else does before it is committed.
    As an asynchronous context manager it commits at the end of the block, and rolls back when the
    block raises. A transaction begun inside it is a savepoint: rolled back, it takes back what was
    written since, and nothing before.
    """

    def __init__(
        self,
        outside: Content,
        config: StoreConfig,
        home: Home,
        isolation: str,
        *,
        read_only: bool = False,
        timeout: float | timedelta | None = None,
        outer: StoreTransaction | None = None,
    ) -> None:
        super().__init__(outside, config, home)
        self._outside = outside
        self._level = IsolationLevel.parse(isolation)
        self._read_only = read_only
        self._timeout_s = None if timeout is None else ttl_milliseconds(timeout) / 1000
        self._deadline: float | None = None
        self._outer = outer
        #: What a savepoint is called: how deep it stands.
        self._savepoint: str = "" if outer is None else outer._savepoint + "+"  # noqa: SLF001 - ours
        self._state: Stage = "new"
        self._engine: TransactionEngine | None = None
        self._changes = 0
        self._revision = 0

    def __repr__(self) -> str:
        return f"<StoreTransaction {self.name!r} ({self._state})>"

    # --- Facts ------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """What its changes carry as `transaction_id`; that of a savepoint is its transaction's."""
        return self._require_engine().id.hex()

    @property
    def active(self) -> bool:
        """Whether it can still be used."""
        return self._state == "active" and (self._outer is None or self._outer.active)

    @property
    def state(self) -> str:
        """`new`, `active`, `committing`, `committed` or `rolled_back`."""
        return self._state

    @property
    def revision(self) -> int:
        """Of its commit; before that, and of a savepoint, 0."""
        return self._revision

    @property
    def supports_transactions(self) -> bool:
        """Whether `transaction` works here: as a savepoint it does."""
        return True

    # --- Its life ---------------------------------------------------------------------------

    async def begin(self) -> Self:
        """Take the moment that is read; `async with` does."""
        if self._state != "new":
            raise TransactionClosed(
                f"a transaction begins once; this one is {self._said()}. Begin another one"
            )
        self._outside.space.check()
        if self._outer is not None:
            self._engine = self._outer._require_active()  # noqa: SLF001 - ours
            self._engine.savepoint(self._savepoint)
            self._content = self._outer._content  # noqa: SLF001 - ours
            self._state = "active"
            return self
        engine = self._outside.space.engine
        made = await TransactionEngine.begin(engine, self._level, read_only=self._read_only)
        try:
            self._content = self._outside.on(made)
            if self._timeout_s is not None:
                self._deadline = engine.components.clock.monotonic() + self._timeout_s
            self._engine, self._state = made, "active"
        except BaseException:
            made.release()
            raise
        self._home.lifecycle.publish(BEGIN, self.name, transaction=self.id)
        return self

    async def commit(self) -> int:
        """Write everything in one commit; its revision, 0 for a savepoint.

        Raises:
            Conflict: what it read changed meanwhile; nothing was written.
            TransactionClosed: it is over already.
            TransactionAborted: its time was up; nothing was written.
        """
        engine = self._require_active()
        self._outside.space.check()
        if self._outer is not None:
            engine.release_savepoint(self._savepoint)
            self._state = "committed"
            self._outer._changes += self._changes  # noqa: SLF001 - ours
            return 0
        self._state = "committing"
        transaction = self.id
        try:
            revision = await engine.finish(self._ended)
        except BaseException:
            if not self._goes_on():  # What was only cancelled does.
                self._tell_rollback()
            raise
        self._outside.space.wrote(revision)
        self._home.lifecycle.publish(
            COMMIT, self.name, transaction=transaction, changes=self._changes, revision=revision
        )
        return revision

    async def rollback(self) -> None:
        """Drop everything; of a savepoint, what was written since. Raises TransactionClosed."""
        engine = self._require_active()
        if self._outer is not None:
            engine.rollback_to(self._savepoint)
            engine.release_savepoint(self._savepoint)
            self._state = "rolled_back"
            return
        self._give_up()

    async def close(self) -> None:
        """Roll back if it is active; closing twice does nothing."""
        if self._state == "active" and self._outer is not None and self._outer.active:
            await self.rollback()
        elif self._state == "active":
            self._give_up()

    async def __aenter__(self) -> Self:
        return await self.begin()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._state != "active":
            return  # Committed or rolled back by hand inside the block.
        try:
            if error_type is None:
                await self.commit()
        finally:
            if self._state == "active":
                await self.close()

    def transaction(self) -> StoreTransaction:
        """A savepoint: committed, what it wrote is part of this; rolled back, it never was."""
        self._require_active()
        return StoreTransaction(self._outside, self._config, self._home, self._level, outer=self)

    # --- Inside -----------------------------------------------------------------------------

    def _open(self) -> Content:
        self._require_active()
        return self._content

    async def _write(self, wishes: Sequence[Wish], context: WriteContext = NO_CONTEXT) -> Written:
        written = await super()._write(wishes, context)
        self._changes += sum(
            wish.value is not None or there
            for wish, there in zip(wishes, written.existed, strict=True)
        )
        return written

    async def _renew(self, conflict: Conflict) -> bool:
        return False  # What a transaction believes, it believes to its end.

    def _ended(self, revision: int | None) -> None:
        """The commit has ended, at this revision or (None) with an error."""
        self._state = "rolled_back" if revision is None else "committed"
        self._revision = revision or 0

    def _goes_on(self) -> bool:
        return self._state != "rolled_back"

    def _give_up(self) -> None:
        self._state = "rolled_back"
        self._require_engine().release()
        self._tell_rollback()

    def _tell_rollback(self) -> None:
        self._home.lifecycle.publish(ROLLBACK, self.name, transaction=self.id)

    def _require_engine(self) -> TransactionEngine:
        if self._engine is None:
            raise TransactionClosed(
                "the transaction has not begun; enter it with `with` (on a loop `async with`), or "
                "call `begin`"
            )
        return self._engine

    def _require_active(self) -> TransactionEngine:
        engine = self._require_engine()
        if self._outer is not None and self._state == "active":
            self._outer._require_active()  # noqa: SLF001 - ours
        deadline = self._deadline
        if (
            self._state == "active"
            and deadline is not None
            and engine.components.clock.monotonic() >= deadline
        ):
            self._give_up()
            raise TransactionAborted(
                f"the transaction was to last {self._timeout_s} s at most, and was rolled back; "
                "run it again, or give it more time"
            )
        if self._state != "active":
            raise TransactionClosed(f"the transaction is {self._said()}; begin another one")
        return engine

    def _said(self) -> str:
        return self._state.replace("_", " ")
