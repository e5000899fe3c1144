"""`Logged`: every call leaves a record of what was asked, how long it took and how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.records.decorators.base import Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.protocols import Outcome
from holdfast.records.tracing import Tracing, installed_tracing
from holdfast.records.verbs import Version
from holdfast.records.walk import Walk
from holdfast.records.write import Delete, Modify, Rename, Write
from holdfast.store.change import Change
from holdfast.store.feed_row import Cause
from holdfast.store.operation_log import LoggingService
from holdfast.store.versions.entry import Entry, PastVersion

T = TypeVar("T")

#: What a write is called by its cause, where that says more than what it does.
_BY_CAUSE = {Cause.RESTORED: "restore", Cause.IMPORTED: "import", Cause.MIGRATED: "migrate"}
#: What several writes of one kind are called.
_MANY = {"set": "set_many", "delete": "delete_many"}


class Logged(Decorator):
    """Tells a logging service of each call: transaction id, keys, duration, outcome. Never values.

    What the inner store raises is raised on as it is. An iteration lasts from its first item to
    its end, or until it is closed. Where OpenTelemetry's API is installed each call is a span.

    Args:
        inner: the store below.
        log: the service, such as `db.log`.
        tracing: begins spans; left out: OpenTelemetry, if installed.
    """

    def __init__(
        self,
        inner: KeyValueStoreInterface,
        log: LoggingService,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(inner)
        self._log = log
        self._tracing = tracing if tracing is not None else installed_tracing()

    def around(self, inner: KeyValueStoreInterface) -> Logged:
        return Logged(inner, self._log, tracing=self._tracing)

    # --- Reading ----------------------------------------------------------------------------

    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        end = self._begin("get", (key,))
        try:
            entry = await self.inner.get(
                key, version=version, at=at, expect=expect, write_back=write_back
            )
        except BaseException as error:
            end(error)
            raise
        end(None)
        return entry

    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[Any]]:
        wanted = list(keys)
        end = self._begin("get_many", wanted)
        try:
            entries = await self.inner.get_many(wanted)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return entries

    async def has(self, key: StoreKey | str) -> bool:
        end = self._begin("has", (key,))
        try:
            there = await self.inner.has(key)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return there

    def keys(
        self,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
        gt: StoreKey | str | None = None,
        gte: StoreKey | str | None = None,
        lt: StoreKey | str | None = None,
        lte: StoreKey | str | None = None,
    ) -> Walk[StoreKey]:
        def walk() -> Walk[StoreKey]:
            return self.inner.keys(
                pattern, reverse=reverse, limit=limit, after=after, gt=gt, gte=gte, lt=lt, lte=lte
            )

        return self._walk("keys", pattern, walk)

    def items(
        self,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
        gt: StoreKey | str | None = None,
        gte: StoreKey | str | None = None,
        lt: StoreKey | str | None = None,
        lte: StoreKey | str | None = None,
    ) -> Walk[Entry[Any]]:
        def walk() -> Walk[Entry[Any]]:
            return self.inner.items(
                pattern, reverse=reverse, limit=limit, after=after, gt=gt, gte=gte, lt=lt, lte=lte
            )

        return self._walk("items", pattern, walk)

    def history(
        self,
        key: StoreKey | str,
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: tuple[int, int] | str | None = None,
    ) -> Walk[PastVersion[Any]]:
        def walk() -> Walk[PastVersion[Any]]:
            return self.inner.history(key, reverse=reverse, limit=limit, after=after)

        return self._walk("history", key, walk)

    def find_by_tag(
        self,
        tag: str,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
    ) -> Walk[Entry[Any]]:
        def walk() -> Walk[Entry[Any]]:
            return self.inner.find_by_tag(tag, pattern, reverse=reverse, limit=limit, after=after)

        return self._walk("find_by_tag", pattern, walk)

    # --- Writing and watching ---------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        end = self._begin(operation_of(writes), [write.key for write in writes])
        try:
            outcomes = await self.inner.write(writes)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return outcomes

    def subscribe(
        self, pattern: Pattern | str, callback: Callable[[Change], object]
    ) -> Callable[[], None]:
        end = self._begin("subscribe", (_text(pattern),))
        try:
            unsubscribe = self.inner.subscribe(pattern, callback)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return unsubscribe

    # --- Inside -----------------------------------------------------------------------------

    def _begin(self, operation: str, keys: Sequence[str]) -> Callable[[BaseException | None], Any]:
        """Tell that an operation begins; what to call when it has ended."""
        log, tracing = self._log, self._tracing
        transaction_id = log.log_start(operation, keys)
        if tracing is None:
            return lambda error: log.log_end(transaction_id, error)
        span = tracing.begin(operation, len(keys), transaction_id)

        def end(error: BaseException | None) -> None:
            log.log_end(transaction_id, error)
            span.end(error)

        return end

    def _walk(
        self, operation: str, wanted: Pattern | str, make: Callable[[], AsyncIterator[T]]
    ) -> Walk[T]:
        """A walk that is made now, so that bad arguments are refused now."""
        try:
            walk = Walk.over(make())
        except BaseException as error:
            self._begin(operation, (_text(wanted),))(error)
            raise
        return walk.around(self._walked(operation, wanted, walk))

    async def _walked(
        self, operation: str, wanted: Pattern | str, walk: Walk[T]
    ) -> AsyncGenerator[Sequence[T], None]:
        end = self._begin(operation, (_text(wanted),))
        failure: BaseException | None = None
        pages = walk.pages()
        try:
            async for page in pages:
                yield page
        except GeneratorExit:
            raise  # Closed half-way, which is no failure.
        except BaseException as error:
            failure = error
            raise
        finally:
            try:
                await pages.aclose()  # What is below is closed with it.
            finally:
                end(failure)


def operation_of(writes: Sequence[Write]) -> str:
    """What the log calls these writes of one commit."""
    names = {_operation(write) for write in writes}
    if len(names) != 1:
        return "write"
    [name] = names
    return name if len(writes) == 1 else _MANY.get(name, "write")


def _operation(write: Write) -> str:
    named = _BY_CAUSE.get(write.cause)
    if named is not None:
        return named
    action = write.action
    if isinstance(action, Modify):
        return "touch" if action.only_living and action.keeps_schema else "modify"
    if isinstance(action, Rename):
        return "rename"
    return "delete" if isinstance(action, Delete) else "set"


def _text(wanted: Pattern | str) -> str:
    return wanted.text if isinstance(wanted, Pattern) else wanted
