"""Walks: what matches, item by item, read page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Walk(AsyncIterator[T]):
    """The items of pages, one after the other.

    Args:
        pages: read when the items before are taken.

    Attributes:
        ready: items of the page under way. Whoever drives the walk may take them from here, oldest
            first, without a coroutine for each.
    """

    def __init__(self, pages: AsyncGenerator[Sequence[T], None]) -> None:
        self.ready: deque[T] = deque()
        self._pages = pages

    async def __anext__(self) -> T:
        ready = self.ready
        while not ready:
            ready.extend(await anext(self._pages))
        return ready.popleft()

    async def aclose(self) -> None:
        """End the walk; twice does nothing."""
        self.ready.clear()
        await self._pages.aclose()
