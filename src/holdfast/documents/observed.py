"""What changes in a collection, as its users see it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Self, TypeVar

from holdfast.codecs.pattern import Pattern
from holdfast.contract.errors import InvalidInput, InvalidQuery, SchemaValidationFailed
from holdfast.contract.record import Cursor
from holdfast.documents.live.query import LiveQuery
from holdfast.documents.live.result import LiveResult
from holdfast.documents.observing.calling import (
    Handler,
    call_after,
    call_all,
    checked_handler,
    log_raised,
)
from holdfast.documents.observing.hooks import CHANGE, checked_event
from holdfast.documents.observing.observers import own_change
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.nodes import Node
from holdfast.documents.query.query import Query
from holdfast.documents.searched import Searched
from holdfast.documents.spelling import as_query
from holdfast.store.change import Change
from holdfast.store.feed.watch import Watch

T = TypeVar("T")


class Observed(Searched[T]):
    """The part of a collection that tells what changes."""

    def live(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        offset: int = 0,
        select: Iterable[Any] | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> LiveQuery[T]:
        """The documents that match, kept current; see `query` for what can be asked.

            async with cities.live(F.country == "JP", order_by=-F.population, limit=10) as live:
                print(live.results)
                async for change in live:
                    print(change.kind, change.key, change.value)

        A change costs what it changes, however big the result is, and however many live queries
        there are that it does not concern.

        Raises:
            InvalidQuery, PatternInvalid: the query is malformed, or has a cursor.
            Unsupported: in a transaction or a snapshot.
        """
        wanted = as_query(conditions, order_by, limit, offset, select, None, equal)
        if wanted.after is not None:
            raise InvalidQuery(
                "a live query wanted a limit and an offset; found a cursor, whose place in the "
                "order may go. Leave `after` out"
            )
        hub = self._collections.live_hub(self._name)
        result = LiveResult(wanted, hint, hub.holders)
        host = self._collections.components.host
        return LiveQuery(hub, result, self._keep(wanted), host)

    def on(self, event: str, handler: Callable[..., object]) -> None:
        """Have a handler called, a plain function or (on a loop) a coroutine function.

        Handlers belong to the collection of this handle on the database, whatever object it was
        asked for by; they are called one after the other, and an operation waits for them.

        - `before:get` (key), `before:set` (key, value), `before:delete` (key): what one raises
          comes out of the operation, and nothing is done.
        - `after:get` (key, value or None), `after:set` (key, value), `after:delete` (key, existed):
          what one raises is logged. In a transaction, and in `batch`, handlers before and after are
          called before the commit, and anew where it lost to another one and is run again.
        - `change` (list of `Change`): a commit to the collection, by whatever process, expiry
          included; of a commit of this handle before its caller goes on. Never before a commit,
          never for one that failed.
        - `error` (StoreError): an operation failed with it.

        Raises:
            InvalidInput: there is no such event, or the handler cannot be called here.
            QuotaExceeded: the event has too many handlers.
            Unsupported: `change` in a transaction or a snapshot.
        """
        checked_event(event)
        checked_handler(handler, blocking=self._collections.gate.runtime.blocking)
        if event != CHANGE:
            self._collections.gate.check()
            self._hooks.add(event, handler)
            self._collections.keep_hooks(self._hooks)
            return
        make = self._typed.from_plain

        @wraps(handler)
        async def observe(changes: list[Change]) -> None:
            await call_after(handler, [own_change(one, make) for one in changes])

        self._collections.observers(self._name).add(handler, observe)

    def off(self, event: str, handler: Callable[..., object]) -> None:
        """Call a handler of `on` no more; one that is not there is none.

        Raises:
            InvalidInput: there is no such event.
        """
        if checked_event(event) == CHANGE:
            self._collections.observers(self._name).remove(handler)
        else:
            self._hooks.remove(event, handler)
            self._collections.keep_hooks(self._hooks)

    def watch(
        self,
        wanted: Any = "*",
        *,
        since: int | str | Cursor | None = None,
        snapshot: bool = False,
    ) -> AsyncIterator[Change]:
        """The committed changes of the documents wanted, in commit order, those to come included.

        Args:
            wanted: which; see `subscribe`.
            since, snapshot: where to begin; see `Database.watch`. Left out: from now on.

        Raises:
            InvalidInput, InvalidQuery, PatternInvalid: the arguments cannot be.
            Compacted: changes after `since` are gone.
            Unsupported: in a transaction or a snapshot.
        """
        changes = self._collections.watch(self._name, since, snapshot=snapshot)
        return Watching(changes, meeting(wanted), self._typed.from_plain)

    def subscribe(self, wanted: Any, handler: Callable[[Change], object]) -> WatchSubscription:
        """Have a handler told each committed change of the documents wanted.

            subscription = users.subscribe("user:*", print)
            users.subscribe(re.compile("user:[0-9]+"), print)
            users.subscribe(F.age >= 18, print)  # that meet it, or met it before the change
            subscription.unsubscribe()

        Args:
            wanted: a text that keys match as a whole, where `*` stands for any characters, `?` for
                one and `[a-z]` for one of some; a compiled expression of `re` that matches a whole
                key (it need not be anchored); or a condition, spelled as for `query`.
            handler: of one change; called as one of the event `change` is. The end of the whole
                collection (`op="drop"`) is told to every handler.

        Raises:
            InvalidInput, InvalidQuery, PatternInvalid: the arguments cannot be.
            QuotaExceeded: there are too many handlers.
            Unsupported: in a transaction or a snapshot.
        """
        checked_handler(handler, blocking=self._collections.gate.runtime.blocking)
        meets = meeting(wanted)
        make = self._typed.from_plain

        async def observe(changes: list[Change]) -> None:
            raised = []
            for one in changes:
                if one.key is None or meets(one):
                    raised += await call_all((_told(handler, make),), one)
            log_raised("subscribe", raised)

        observers = self._collections.observers(self._name)
        observers.add(observe, observe)
        return WatchSubscription(lambda: observers.remove(observe))


class Watching(AsyncIterator[Change]):
    """The changes of a collection, as its users have them: those that are wanted, of its type.

    Args:
        changes: of the whole collection.
        meets: whether a change is wanted.
        make: makes a value of a plain document.
    """

    def __init__(
        self, changes: Watch, meets: Callable[[Change], bool], make: Callable[[Any], Any]
    ) -> None:
        self._changes = changes
        self._meets = meets
        self._make = make

    async def __anext__(self) -> Change:
        while True:
            change = await anext(self._changes)
            if change.key is None or self._meets(change):
                try:
                    return own_change(change, self._make)
                except SchemaValidationFailed as error:
                    error.within(key=change.key)
                    raise

    async def aclose(self) -> None:
        """End it; ending twice does nothing."""
        await self._changes.aclose()


class WatchSubscription:
    """What `Collection.subscribe` gives; as a context manager it ends with its block."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def unsubscribe(self) -> None:
        """Tell nothing any more; twice does nothing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.unsubscribe()


def _told(handler: Callable[[Change], object], make: Callable[[Any], Any]) -> Handler:
    @wraps(handler)
    async def tell(change: Change) -> None:
        await call_after(handler, own_change(change, make))

    return tell


def meeting(wanted: Any) -> Callable[[Change], bool]:
    """A test of changes from what a watch wants."""
    if isinstance(wanted, re.Pattern):
        if isinstance(wanted.pattern, bytes):
            raise InvalidInput(
                "a watch wanted an expression for text; found one for bytes. Compile it from a str"
            )
        whole = wanted.fullmatch
        return lambda change: whole(change.key) is not None
    if isinstance(wanted, str):
        matches = Pattern.glob(wanted).matches_text
        return lambda change: matches(change.key)
    if not isinstance(wanted, Query | Node | Mapping):
        raise InvalidInput(
            "a watch wanted a text such as 'user:*', a compiled expression or a condition; found "
            f"a {type(wanted).__name__}"
        )
    meets = compile_where(as_query((wanted,), (), None, 0, None, None, {}).where)
    return lambda change: any(
        one is not None and meets(one) for one in (change.before, change.after)
    )
