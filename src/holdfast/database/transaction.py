"""Transactions and snapshots as users hold them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

from holdfast.contract.errors import TransactionClosed
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.runtime.gate import Gate
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine

State = Literal["new", "active", "committed", "rolled_back"]


class Transaction:
    """Reads of one moment and writes that happen together or not at all.

    Made by `Database.transaction`; an asynchronous context manager that commits at the end of its
    block and rolls back when the block raises. Entries written in it carry no final revision
    before the commit.

    Attributes:
        state: `new`, `active`, `committed` or `rolled_back`.
        revision: of the commit, once committed; before that of the moment it reads.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[TransactionEngine]],
        view: Callable[[TransactionEngine], KeyValueStoreInterface],
        committed: Callable[[int], Awaitable[None]],
        gate: Gate,
    ) -> None:
        self._begin = begin
        self._view = view
        self._committed = committed
        self._gate = gate
        self._engine: TransactionEngine | None = None
        self._entries: KeyValueStoreInterface | None = None
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
        self._require_active()
        assert self._entries is not None
        return self._entries

    async def begin(self) -> Self:
        """Take the snapshot; `async with` does."""
        self._gate.check()
        if self.state != "new":
            raise TransactionClosed(
                f"a transaction begins once; this one is {self.state}. Begin another one"
            )
        self._engine = await self._begin()
        self._entries = self._view(self._engine)
        self.revision = self._engine.snapshot_revision
        self.state = "active"
        return self

    async def commit(self) -> int:
        """Write everything in one commit; its revision.

        Raises:
            Conflict: what it read changed meanwhile; nothing was written.
            TransactionClosed: it is over already.
        """
        engine = self._require_active()
        self._gate.check()
        self.state = "rolled_back"
        receipt = await engine.finish()
        self.state = "committed"
        self.revision = receipt.revision
        await self._committed(receipt.revision)
        return receipt.revision

    async def rollback(self) -> None:
        """Drop everything. Raises TransactionClosed when it is over already."""
        self._require_active().release()
        self.state = "rolled_back"

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
        if error_type is None:
            await self.commit()
        else:
            await self.rollback()

    def _require_active(self) -> TransactionEngine:
        if self._engine is None or not self.active:
            raise TransactionClosed(
                f"the transaction is {self.state.replace('_', ' ')}; "
                + ("enter it with `async with`" if self.state == "new" else "begin another one")
            )
        return self._engine


class SnapshotView:
    """A fixed view of the database. Close it, or use it as a context manager.

    Attributes:
        revision: of the last commit it contains.
        entries: the entries as of that moment, for reading. What expires is absent here too.
    """

    def __init__(self, engine: SnapshotEngine, entries: KeyValueStoreInterface) -> None:
        self._engine = engine
        self.revision = engine.revision
        self.entries = entries

    async def close(self) -> None:
        """Let go of the view; closing twice does nothing."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
