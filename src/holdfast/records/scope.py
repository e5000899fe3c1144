"""Entries below literal segments, and of one type: what no key and no pattern can leave."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, cast, overload

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey, parse_namespace, several
from holdfast.codecs.typed import Typed
from holdfast.contract.engine import NOT_NOW, _NotNow
from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    StoreError,
)
from holdfast.records.calls import EntryCalls
from holdfast.records.parts import Part, is_cursor
from holdfast.records.places import Places
from holdfast.records.services.protocols import Outcome
from holdfast.records.verbs import EntryVerbs, Version
from holdfast.records.walk import LastPage, Walk
from holdfast.records.write import Modify, Rename, SetValue, Write
from holdfast.runtime.working import is_coroutine_function
from holdfast.store.change import Change
from holdfast.store.versions.entry import Entry, PastVersion

T = TypeVar("T")
S = TypeVar("S")


class EntryScope(EntryCalls[T]):
    """The entries below some segments, called from there on, and of one type.

    No key and no pattern leaves it, whatever it holds: segments are literal. `typed` values are
    instances, checked when they are written and when they are read.
    """

    def __init__(
        self, inner: EntryVerbs[Any], segments: Iterable[str], typed: Typed[T] | None = None
    ) -> None:
        self._inner = inner
        self.places = Places(segments, typed)
        self._typed = self.places.typed

    def __repr__(self) -> str:
        kind = "" if self._typed is None else f" of {self._typed!r}"
        return f"<EntryScope {'/'.join(self.places.segments)!r}{kind} on {self._inner!r}>"

    @property
    def segments(self) -> tuple[str, ...]:
        """What its keys are called below."""
        return self.places.segments

    def scope(self, *segments: str) -> EntryScope[T]:
        """The entries further below: below these segments, seen from here."""
        return EntryScope(self._inner, (*self.segments, *segments_of(segments)), self._typed)

    def typed(self, type: type[S], namespace: str = "") -> EntryScope[S]:
        """The entries below a namespace of it, with values of a type.

        Args:
            type: a dataclass, a msgspec Struct, a TypedDict or a pydantic model.
            namespace: written as in keys; left out: all of them.
        """
        return typed_scope(self._inner, type, namespace, self.segments)

    # --- Reading ----------------------------------------------------------------------------

    @overload
    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: type[S],
        write_back: bool = True,
    ) -> Entry[S] | None: ...
    @overload
    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[T] | None: ...
    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        found = await self._inner.get(
            self.places.out(key), version=version, at=at, expect=expect, write_back=write_back
        )
        if found is None:
            return None
        return self.places.seen(found) if expect is None else self.places.called(found)

    def peek(self, key: StoreKey | str) -> Entry[T] | Literal[_NotNow.NOT_NOW] | None:
        found = self._inner.peek(self.places.out(key))
        return found if found is None or found is NOT_NOW else self.places.seen(found)

    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[T]]:
        found = await self._inner.get_many([self.places.out(key) for key in several(keys)])
        entries = map(self.places.seen, found.values())
        return {entry.key: entry for entry in entries}

    async def has(self, key: StoreKey | str) -> bool:
        return await self._inner.has(self.places.out(key))

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
        asked, kept = self.places.pattern(pattern)
        walk = self._inner.keys(
            asked, reverse=reverse, **self._part(limit, after, gt, gte, lt, lte, kept)
        )
        places = self.places
        return _mapped(walk, places.into, places.out, self._shows(kept, _itself), limit)

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
    ) -> Walk[Entry[T]]:
        asked, kept = self.places.pattern(pattern)
        walk = self._inner.items(
            asked, reverse=reverse, **self._part(limit, after, gt, gte, lt, lte, kept)
        )
        return _mapped(
            walk, self.places.seen, self.places.outside, self._shows(kept, _key_of), limit
        )

    def history(
        self,
        key: StoreKey | str,
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: tuple[int, int] | str | None = None,
    ) -> Walk[PastVersion[T]]:
        walk = self._inner.history(self.places.out(key), reverse=reverse, limit=limit, after=after)
        return _mapped(walk, self.places.seen, self.places.outside, None, None)

    def find_by_tag(
        self,
        tag: str,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
    ) -> Walk[Entry[T]]:
        Part(limit=limit)  # Refuses what is no number.
        asked, kept = self.places.pattern(pattern)
        top = self.places.top

        def shown(entry: Entry[Any]) -> bool:
            inside = self.places.into(entry.key) if entry.key != top else None
            return inside is not None and (kept is None or kept.matches(inside))

        # One entry more, because the key of the segments themselves may carry the tag too.
        asked_for = None if limit is None or kept is not None else limit + (top is not None)
        walk = self._inner.find_by_tag(
            tag, asked, reverse=reverse, limit=asked_for, after=self._after(after)
        )
        return _mapped(walk, self.places.seen, self.places.outside, shown, limit)

    def subscribe(
        self, pattern: Pattern | str, callback: Callable[[Change], object]
    ) -> Callable[[], None]:
        asked, kept = self.places.pattern(pattern)

        def told(change: Change) -> Change | None:
            seen = self.places.change(change)
            return seen if seen is None or kept is None or kept.matches(seen.key) else None

        if is_coroutine_function(callback):

            @functools.wraps(callback)
            async def tell(change: Change) -> None:
                seen = told(change)
                if seen is not None:
                    await cast("Any", callback(seen))

        else:

            @functools.wraps(callback)
            def tell(change: Change) -> Any:
                seen = told(change)
                return None if seen is None else callback(seen)

        return self._inner.subscribe(asked, tell)

    # --- Writing ----------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outside = [self._write(write) for write in writes]
        try:
            outcomes = await self._inner.write(outside)
        except Conflict as conflict:
            self._seen(conflict)
            raise
        return [self._outcome(one) for one in outcomes]

    def write_now(self, write: Write) -> Outcome | None:
        try:
            outcome = self._inner.write_now(self._write(write))
        except Conflict as conflict:
            self._seen(conflict)
            raise
        return None if outcome is None else self._outcome(outcome)

    # --- As seen from here, and from the root -------------------------------------------------

    def _write(self, write: Write) -> Write:
        action = write.action
        typed = self._typed
        if isinstance(action, Rename):
            action = Rename(str(self.places.out(action.new_key)))
        elif typed is None:
            pass
        elif isinstance(action, SetValue):
            try:
                action = SetValue(typed.to_plain(action.value))
            except StoreError as error:
                error.within(key=str(write.key))
                raise
        elif isinstance(action, Modify) and not action.keeps_schema:
            action = msgspec.structs.replace(action, change=_converted(typed, action.change))
        return msgspec.structs.replace(write, key=self.places.out(write.key), action=action)

    def _outcome(self, outcome: Outcome) -> Outcome:
        before, after = outcome.before, outcome.after
        # What stood there before may be of another shape; whoever looks at it sees it plain.
        return msgspec.structs.replace(
            outcome,
            before=None if before is None else self.places.called(before),
            after=None if after is None else self.places.seen(after),
        )

    def _seen(self, conflict: Conflict) -> None:
        current = conflict.details.get("current")
        if isinstance(current, Entry):
            conflict.details["current"] = self.places.seen(current)

    def _shows(
        self, kept: Pattern | None, key_of: Callable[[S], StoreKey]
    ) -> Callable[[S], bool] | None:
        """Whether an item of a walk passes what the walk could not be asked for; None: all do."""
        if kept is None:
            return None
        passes, into = kept.matches, self.places.into
        return lambda item: passes(into(key_of(item)))

    def _after(self, after: StoreKey | str | None) -> StoreKey | str | None:
        return after if after is None or is_cursor(after) else self.places.out(after)

    def _part(
        self,
        limit: int | None,
        after: StoreKey | str | None,
        gt: StoreKey | str | None,
        gte: StoreKey | str | None,
        lt: StoreKey | str | None,
        lte: StoreKey | str | None,
        kept: Pattern | None,
    ) -> dict[str, Any]:
        """The options of a walk as seen from the root: what is not asked for is left out."""
        out, top = self.places.out, self.places.top
        part: dict[str, Any] = {} if limit is None or kept is not None else {"limit": limit}
        if after is not None:
            part["after"] = self._after(after)
        bounds = {"gt": gt, "gte": gte, "lt": lt, "lte": lte}
        part |= {name: out(key) for name, key in bounds.items() if key is not None}
        if top is not None and gt is None and gte is None:
            part["gt"] = top
        return part


def segments_of(segments: Sequence[str]) -> tuple[str, ...]:
    """The segments of a scope, checked.

    Raises:
        InvalidInput: there are none.
        InvalidKey: one of them cannot be.
    """
    if not segments:
        raise InvalidInput(
            'a scope is named by its segments, such as scope("users", user_id); found none'
        )
    return StoreKey.of_segments(segments).segments


def typed_scope(
    store: EntryVerbs[Any], kind: type[S], namespace: str, below: tuple[str, ...] = ()
) -> EntryScope[S]:
    """The entries of a store below a namespace, with values of a type."""
    return EntryScope(
        store, (*below, *parse_namespace(namespace)), Typed(kind, "store of typed entries")
    )


def _converted(typed: Typed[Any], change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of `modify` on values of a type as one on plain values."""

    def on_plain(plain: Any) -> Any:
        result = change(None if plain is None else typed.from_plain(plain))
        # What is returned by mistake as a rule is for the store to refuse.
        return result if result is None or inspect.iscoroutine(result) else typed.to_plain(result)

    return on_plain


def _mapped(
    walk: Walk[S],
    into: Callable[[S], Any],
    outside: Callable[[Any], S],
    shown: Callable[[S], bool] | None,
    limit: int | None,
) -> Walk[Any]:
    """A walk over the items that are shown, as they are seen from within."""
    inner: Walk[S] = Walk.over(walk)
    limited = shown is not None and limit is not None
    return inner.around(_pages(inner, into, shown, limit), outside, limited=limited)


async def _pages(
    walk: Walk[S],
    into: Callable[[S], Any],
    shown: Callable[[S], bool] | None,
    limit: int | None,
) -> AsyncGenerator[Sequence[Any], None]:
    left = limit
    pages = walk.pages()
    try:
        async for page in pages:
            kept = page if shown is None else [one for one in page if shown(one)]
            if left is not None and len(kept) >= left:
                cut = [into(one) for one in kept[:left]]
                yield LastPage(cut) if isinstance(page, LastPage) and len(kept) == left else cut
                return
            left = left and left - len(kept)
            items = [into(one) for one in kept]
            yield LastPage(items) if isinstance(page, LastPage) else items
    finally:
        await pages.aclose()


def _itself(key: StoreKey) -> StoreKey:
    return key


def _key_of(entry: Entry[Any]) -> StoreKey:
    return entry.key
