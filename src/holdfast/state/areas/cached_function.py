"""Functions whose results are kept, as callers have them: called, forgotten, found in a class."""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a function is cached.

    Attributes:
        fresh_ms: how long a result counts as fresh.
        stale_ms: how long after that it is still given out, while one caller computes anew.
        early_ms: how long before that one caller computes anew already.
        wait_s: how long a caller waits for what another process computes.
    """

    fresh_ms: int
    stale_ms: int
    early_ms: int = 0
    wait_s: float = math.inf


class Keeping(Protocol):
    """What keeps the results: `Cache`, which makes the functions."""

    def at_once(self, key: str, rules: Rules) -> tuple[Any] | None: ...
    def tag_keys(self, tags: Sequence[str]) -> list[str]: ...
    async def forget(self, key: str) -> None: ...
    async def through(
        self, key: str, tags: list[str], rules: Rules, function: Callable[[], Any]
    ) -> Any: ...


class CachedFunction(Generic[P, R]):
    """A function whose results are kept. Awaiting a call gives the result."""

    def __init__(
        self,
        cache: Keeping,
        function: Callable[P, Any],
        key: Callable[P, str],
        tags: Callable[P, Sequence[str]] | None,
        rules: Rules,
    ) -> None:
        functools.update_wrapper(self, function)
        self.__wrapped__ = function
        self._cache = cache
        self._function = function
        self._key = key
        self._tags = tags
        self._rules = rules

    async def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> R:
        key = self._key(*arguments, **keywords)
        tags: list[str] = []
        if self._tags is None:
            found = self._cache.at_once(key, self._rules)
            if found is not None:
                return cast("R", found[0])
        else:
            tags = self._cache.tag_keys(self._tags(*arguments, **keywords))
        result: R = await self._cache.through(
            key, tags, self._rules, lambda: self._function(*arguments, **keywords)
        )
        return result

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A method of the instance, as of any function in a class."""
        return self if instance is None else _CachedMethod(self, instance)

    async def invalidate(self, *arguments: P.args, **keywords: P.kwargs) -> None:
        """Forget the result for these arguments."""
        await self._cache.forget(self._key(*arguments, **keywords))


class _CachedMethod:
    """A cached function of a class, on one of its instances."""

    def __init__(self, function: CachedFunction[..., Any], instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance

    async def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return await self.__func__(self.__self__, *arguments, **keywords)

    async def invalidate(self, *arguments: Any, **keywords: Any) -> None:
        """Forget the result for these arguments."""
        await self.__func__.invalidate(self.__self__, *arguments, **keywords)


class Caching(Protocol):
    """The decorator for a coroutine function, or a plain one."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> CachedFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...
