"""Who computes a kept result, and for whose result it waits: circles of them are found.

Two results that ask for each other would wait for ever as soon as both are on their way, each
begun by a caller of its own. So each computation knows for which others it waits, and whoever is
about to wait looks first whether the other one waits, through however many, for the waiter itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar

from holdfast.contract.errors import InvalidInput

T = TypeVar("T")


class Computation:
    """A result on its way.

    Attributes:
        whole: the whole key of the result.
        over: whether it has ended; what goes on behind it waits for nobody's sake.
    """

    __slots__ = ("_awaited", "over", "whole")

    def __init__(self, whole: str) -> None:
        self.whole = whole
        self.over = False
        #: Those it waits for. One may stand here twice, when two tasks of the function ask for it.
        self._awaited: list[Computation] = []

    def enter(self) -> None:
        """What is called from now on, in this context, is called by this computation."""
        _inside.set(self)

    async def waited_for(self, outcome: Callable[[], Awaitable[T]]) -> T:
        """What comes of it, told by `outcome`, for the present caller.

        Raises:
            InvalidInput: this computation waits, maybe through others, for the one that asks.
        """
        waiter = _inside.get()
        if waiter is None or waiter.over:
            return await outcome()
        # Told first and looked up then: of two threads that close a circle at once, one sees it.
        waiter._awaited.append(self)  # noqa: SLF001 - its own kind
        try:
            if self._waits_for(waiter):
                raise InvalidInput(
                    "the function of a kept result asks for that very result, itself or through "
                    "another kept result, and would wait for itself for ever. Give the inner call "
                    "another key, or call the function itself: it is the attribute __wrapped__"
                )
            return await outcome()
        finally:
            waiter._awaited.remove(self)  # noqa: SLF001

    def _waits_for(self, goal: Computation) -> bool:
        seen: set[Computation] = set()
        left = [self]
        while left:
            one = left.pop()
            if one is goal:
                return True
            if one not in seen:
                seen.add(one)
                left.extend(one._awaited)  # noqa: SLF001
        return False


#: The computation that the present caller belongs to.
_inside: ContextVar[Computation | None] = ContextVar("holdfast cached", default=None)
