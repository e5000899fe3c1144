"""`LiveQuery`: the result of a query that stays current, and an iterator of what changes in it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from holdfast.contract.errors import TimedOut
from holdfast.contract.forks import renewed_lock
from holdfast.contract.runtime import Host
from holdfast.documents.live.hub import LiveHub
from holdfast.documents.live.result import LiveResult
from holdfast.documents.live.told import Told
from holdfast.documents.observing.observers import as_it_was
from holdfast.documents.planner.found import Found
from holdfast.documents.results import LiveChange, QueryResult
from holdfast.store.versions.entry import Entry

T = TypeVar("T")


class LiveQuery(Generic[T]):
    """The ordered result of a query, and an iterator of the changes that keep it current.

    Made by `Collection.live`; entering its block begins it. `results` is the result as of the last
    change that was handed out. A change says what to do to a list of the results: `added` at
    `index`, `removed` at `previous`, `changed` in its place, or `moved` from `previous` to `index`.

    Who reads slowly is told the last state of each document alone. After a change that is the
    `last` for now, the results are those of one moment. A document that runs out leaves when its
    end is told, within a second. Cancelled while it waits (a time-out), it can
    be asked again, and nothing is lost. Abandoned, it leaves nothing behind.
    """

    def __init__(
        self, hub: LiveHub, result: LiveResult, make: Callable[[Found], T], host: Host
    ) -> None:
        self._hub = hub
        self._result = result
        self._make = make
        self._host = host
        self._told = Told()
        #: One at a time changes what was told: threads may share the twin of this.
        self._turn = renewed_lock(self, "_turn")
        self._joined = self._begun = self._closed = self._left = False

    async def begin(self) -> Self:
        """Read the result; entering its block does. Beginning twice does nothing.

        Raises:
            IndexNotFound, InvalidQuery: the query cannot be answered.
            QuotaExceeded: the result holds too many documents.
        """
        while not self._begun and not self._closed:
            with self._turn:
                if not self._joined:
                    self._hub.join(self._result)
                    self._joined = True
                states = self._hub.take(self._result)
                if states is not None:
                    self._told.adopt(states)
                    self._begun = True
                    break
            await self._hub.wait(self._result)
        return self

    @property
    def results(self) -> list[QueryResult[T]]:
        """What the query gives, in its order, as of the change that was handed out last."""
        with self._turn:
            told = self._told.entries()
        return [QueryResult(key, self._value(key, entry), entry.metadata) for key, entry in told]

    def __len__(self) -> int:
        return len(self._told)

    def __bool__(self) -> bool:
        return True  # Also without a result.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LiveChange[T]:
        await self.begin()
        while not self._closed:
            with self._turn:
                difference = self._told.step()
                if difference is None:
                    self._told.plan(self._hub.take(self._result) or ())
                    difference = self._told.step()
            if difference is None:
                await self._hub.wait(self._result)
                continue
            kind, key, before, after, previous, place, last = difference
            return LiveChange(
                kind,
                key,
                None if after is None else self._value(key, after),
                None if before is None else self._past(key, before),
                place,
                previous,
                last,
            )
        raise StopAsyncIteration

    async def poll(self, timeout_s: float = 0) -> LiveChange[T] | None:
        """The next change, or None when none comes within that time.

        Raises:
            StoreClosed: the handle is closed.
        """
        try:
            return await self._host.runtime().timeout(self.__anext__(), timeout_s)
        except (TimedOut, StopAsyncIteration):
            return None

    async def aclose(self) -> None:
        """End it; ending twice does nothing."""
        self._closed = True
        self._hub.leave(self._result)
        self._left = True

    async def __aenter__(self) -> Self:
        try:
            return await self.begin()
        except BaseException:
            self._hub.leave(self._result)
            raise

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Abandoned, or interrupted while it joined or left: nobody keeps it current any more.
        if not getattr(self, "_left", True):
            self._hub.abandon(self._result)

    def _past(self, key: str, entry: Entry[Any]) -> T:
        own = entry.fresh()
        return as_it_was(lambda plain: self._make((key, plain, own)), own.value)  # type: ignore[no-any-return]

    def _value(self, key: str, entry: Entry[Any]) -> T:
        # A copy of its own: what was told is compared with later.
        own = entry.fresh()
        return self._make((key, own.value, own))
