"""The results of a query as an asynchronous iterator that lets go of what it holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from holdfast.contract.engine import Engine, Snapshot
from holdfast.documents.planner.found import Found
from holdfast.documents.results import QueryResult
from holdfast.runtime.iterating import breach_of, broken_off, in_another_task
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine

R = TypeVar("R")
T = TypeVar("T")


class Moment:
    """The engine as of one moment, where it can show one.

    Args:
        engine: the engine, or a transaction's or snapshot's view of it.
    """

    def __init__(self, engine: Engine) -> None:
        self._base = engine
        self._snapshot: Snapshot | None = None

    async def begin(self) -> Engine:
        """Take the moment; what reads from it."""
        engine = self._base
        fixed = isinstance(engine, TransactionEngine | SnapshotEngine)
        if fixed or not engine.capabilities.snapshots:
            return engine
        self._snapshot = await engine.snapshot()
        return SnapshotEngine(engine, self._snapshot)

    def end(self) -> None:
        """Let go of it; twice does nothing."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            snapshot.close()

    async def __aenter__(self) -> Engine:
        return await self.begin()

    async def __aexit__(self, *_error: object) -> None:
        self.end()


#: Begins a walk: takes a moment, and walks there.
Begin = Callable[[], Awaitable["tuple[Moment, AsyncGenerator[Found, None]] | None"]]


class Results(AsyncIterator[R], Generic[R]):
    """What a walk finds, one after the other, as of the moment of the first step.

    It ends with the last one, with `aclose`, or when nobody has it any more: an abandoned walk
    holds no moment. One that failed, or was cancelled while it waited, raises StoreClosed when it
    is asked again.

    Args:
        begin: called at the first step; None: there is nothing.
        make: what is handed out of what was found.
    """

    def __init__(self, begin: Begin, make: Callable[[Found], R]) -> None:
        self._begin = begin
        self._make = make
        self._begun = self._beginning = self._ended = False
        #: By what the walk was broken off.
        self._broken = ""
        self._moment: Moment | None = None
        self._walk: AsyncGenerator[Found, None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        try:
            if not self._begun:
                self._begun = self._beginning = True
                try:
                    begun = await self._begin()
                finally:
                    self._beginning = False
                if begun is not None:
                    self._moment, self._walk = begun
            elif self._beginning:
                raise in_another_task()
            if self._broken:
                raise broken_off(self._broken)
            if self._walk is None or self._ended:
                raise StopAsyncIteration
            return self._make(await anext(self._walk))
        except BaseException as error:
            if self._beginning:
                raise
            if not isinstance(error, StopAsyncIteration):
                self._broken = self._broken or breach_of(error, self._walk)
            self._end()
            raise

    async def aclose(self) -> None:
        """End the walk; twice does nothing."""
        self._end()
        walk, self._walk = self._walk, None
        if walk is not None:
            await walk.aclose()

    def _end(self) -> None:
        self._ended = True
        moment, self._moment = self._moment, None
        if moment is not None:
            moment.end()

    def __del__(self) -> None:
        if hasattr(self, "_moment"):  # Else its making was interrupted.
            self._end()


def result_of(keep: Callable[[Found], T], found: Found) -> QueryResult[T]:
    """A result with what is kept of the document that was found."""
    key, _, entry = found
    return QueryResult(key, keep(found), entry.metadata)


async def nothing() -> AsyncGenerator[Any, None]:
    """An asynchronous generator that ends at once."""
    return
    yield
