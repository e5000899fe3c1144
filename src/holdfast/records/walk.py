"""Walks: what matches, item by item, read page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from holdfast.runtime.iterating import breach_of, broken_off
from holdfast.store.versions.shown import Listed

T = TypeVar("T")
U = TypeVar("U")

#: What makes the cursor that leads on behind an item.
CursorOf = Callable[[T], str]


class LastPage(list[T]):
    """A page behind which nothing is left."""


class Walk(AsyncIterator[T]):
    """An asynchronous iterator over what matches, in order.

    One that failed, or was cancelled while it waited, raises StoreClosed when it is asked again.

    Args:
        pages: read when the items before are taken.
        cursor_of: what `cursor` is made by.
        limited: whether the walk may end before what matches does; its pages then say which is
            the last one.
        start: the cursor that the walk began behind.

    Attributes:
        ready: items of the page under way. The caller that drives the walk may take them from
            here, oldest first, without a coroutine for each.
    """

    def __init__(
        self,
        pages: AsyncGenerator[Sequence[T], None],
        cursor_of: CursorOf[T] | None = None,
        *,
        limited: bool = False,
        start: str | None = None,
    ) -> None:
        self.ready: deque[T] = deque()
        self._pages = pages
        self._cursor_of = cursor_of
        self._limited = limited
        self._start = start
        #: The page under way and the one before, to tell where the walk is.
        self._page: Sequence[T] = ()
        self._previous: Sequence[T] = ()
        self._over = False
        #: By what the pages were broken off.
        self._broken = ""

    @classmethod
    def over(cls, items: AsyncIterator[T]) -> Walk[T]:
        """A walk over the items of any iterator; a walk itself."""
        return items if isinstance(items, Walk) else Walk(_singly(items))

    def around(
        self,
        pages: AsyncGenerator[Sequence[U], None],
        item_of: Callable[[U], T] | None = None,
        *,
        limited: bool = False,
    ) -> Walk[U]:
        """A walk over pages that are made of this one's.

        Args:
            pages: made of `self.pages()`.
            item_of: what an item is made of, as far as its cursor is concerned; None: of itself.
            limited: whether the pages may end before this walk does.
        """
        cursor_of: Any = self._cursor_of
        if cursor_of is not None and item_of is not None:
            inner, original = cursor_of, item_of

            def cursor_of(item: U) -> str:
                text: str = inner(original(item))
                return text

        return Walk(pages, cursor_of, limited=limited or self._limited, start=self._start)

    def of(self, cursor_of: CursorOf[T]) -> Self:
        """The same walk, told what its cursors are made by."""
        self._cursor_of = cursor_of
        return self

    @property
    def cursor(self) -> str | None:
        """What `after` takes to go on behind the items given so far; None: nothing is left.

        It is a text, fit to be kept outside the process. Writes meanwhile shift nothing: it names a
        place in the order and not a number of items. It belongs to the same pattern, tag or key,
        and to the same direction.
        """
        return self.cursor_before(0)

    def cursor_before(self, undelivered: int) -> str | None:
        """The same, when so many of the last items have not reached the caller."""
        if self._over and not self.ready and not undelivered:
            return None
        place = len(self._page) - len(self.ready) - undelivered - 1
        given = self._page[place : place + 1] if place >= 0 else self._previous[-1:]
        if not given or self._cursor_of is None:
            return self._start
        return self._cursor_of(given[0])

    async def __anext__(self) -> T:
        ready = self.ready
        while not ready:
            if self._broken:
                raise broken_off(self._broken)
            try:
                page = await anext(self._pages)
            except StopAsyncIteration:
                self._over = self._over or not self._limited
                raise
            except BaseException as error:
                self._broken = breach_of(error, self._pages)
                raise
            self._mark(page)
            ready.extend(page)
        return ready.popleft()

    async def pages(self) -> AsyncGenerator[Sequence[T], None]:
        """The rest of the walk, page by page; closed with it."""
        try:
            if self.ready:
                rest = list(self.ready)
                self.ready.clear()
                yield LastPage(rest) if self._over else rest
            if self._broken:
                raise broken_off(self._broken)
            async for page in self._pages:
                self._mark(page)
                yield page
            self._over = self._over or not self._limited
        finally:
            await self.aclose()

    async def to_list(self) -> Listed[T]:
        """What is left of the walk, as a list; a notebook shows it as a table."""
        found: Listed[T] = Listed()
        async for page in self.pages():
            found += page
        return found

    async def aclose(self) -> None:
        """End the walk; twice does nothing."""
        self.ready.clear()
        await self._pages.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _mark(self, page: Sequence[T]) -> None:
        """Note where the walk is with the next page."""
        if self._page:
            self._previous = self._page
        self._page = page
        self._over = type(page) is LastPage


async def _singly(items: AsyncIterator[T]) -> AsyncGenerator[Sequence[T], None]:
    try:
        async for item in items:
            yield [item]
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
