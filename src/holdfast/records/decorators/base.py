"""What every decorator starts from: the whole interface, handed on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Self

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.protocols import Outcome
from holdfast.records.verbs import Version
from holdfast.records.walk import Walk
from holdfast.records.write import Write
from holdfast.store.change import Change
from holdfast.store.versions.entry import Entry, PastVersion

#: The verbs of the interface: handling these handles every call.
VERBS = (
    "get",
    "get_many",
    "has",
    "keys",
    "items",
    "history",
    "find_by_tag",
    "write",
    "subscribe",
)

#: What does a verb at once, where it can.
AT_ONCE = {"peek": "get", "write_now": "write"}


class Decorator(KeyValueStoreInterface):
    """Adds to `inner` by overriding some of its verbs.

    A verb that a decorator leaves alone costs nothing: it is the inner store's own.
    """

    def __init__(self, inner: KeyValueStoreInterface) -> None:
        self.inner = inner
        for verb in VERBS:
            if getattr(type(self), verb) is getattr(Decorator, verb):
                setattr(self, verb, getattr(inner, verb))
        # What is done at once goes past a decorator only where the decorator does nothing to it.
        for at_once, verb in AT_ONCE.items():
            untouched = getattr(type(self), verb) is getattr(Decorator, verb)
            if untouched and getattr(type(self), at_once) is getattr(Decorator, at_once):
                setattr(self, at_once, getattr(inner, at_once))

    @abstractmethod
    def around(self, inner: KeyValueStoreInterface) -> Self:
        """The same decoration around another store: a transaction's, or a snapshot's."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    # Each of these stands for the inner store's own, which takes its place on every instance.

    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        return await self.inner.get(
            key, version=version, at=at, expect=expect, write_back=write_back
        )

    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[Any]]:
        return await self.inner.get_many(keys)

    async def has(self, key: StoreKey | str) -> bool:
        return await self.inner.has(key)

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
        return self.inner.keys(
            pattern, reverse=reverse, limit=limit, after=after, gt=gt, gte=gte, lt=lt, lte=lte
        )

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
        return self.inner.items(
            pattern, reverse=reverse, limit=limit, after=after, gt=gt, gte=gte, lt=lt, lte=lte
        )

    def history(
        self,
        key: StoreKey | str,
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: tuple[int, int] | str | None = None,
    ) -> Walk[PastVersion[Any]]:
        return self.inner.history(key, reverse=reverse, limit=limit, after=after)

    def find_by_tag(
        self,
        tag: str,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
    ) -> Walk[Entry[Any]]:
        return self.inner.find_by_tag(tag, pattern, reverse=reverse, limit=limit, after=after)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return await self.inner.write(writes)

    def subscribe(
        self, pattern: Pattern | str, callback: Callable[[Change], object]
    ) -> Callable[[], None]:
        return self.inner.subscribe(pattern, callback)
