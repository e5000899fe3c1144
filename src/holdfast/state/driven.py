"""State without an event loop: what the generated twins of `holdfast.sync` stand on."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import _AsyncGeneratorContextManager, contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

from holdfast.contract.errors import ServiceRequired
from holdfast.engines.remote.portal import Portal
from holdfast.runtime.drive import drive
from holdfast.runtime.system import system_components
from holdfast.state.adapter import StateAdapter
from holdfast.state.areas.cached_function import CachedFunction
from holdfast.state.builder import StoreBuilder, build_store
from holdfast.state.forked import parts_in_child
from holdfast.state.layers import AdapterLayer
from holdfast.state.store import ScopedStore

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
W = TypeVar("W")


class DrivenFunction(Generic[P, R]):
    """A plain function whose results are kept; see `Cache.cached`."""

    def __init__(self, inner: CachedFunction[P, R]) -> None:
        functools.update_wrapper(self, inner)
        self._inner = inner

    def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> R:
        return drive(self._inner(*arguments, **keywords))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A method of the instance, as of any function in a class."""
        return self if instance is None else _DrivenMethod(self, instance)

    def invalidate(self, *arguments: P.args, **keywords: P.kwargs) -> None:
        """Forget the result for these arguments."""
        drive(self._inner.invalidate(*arguments, **keywords))


class _DrivenMethod:
    """A kept function of a class, on one of its instances."""

    def __init__(self, function: DrivenFunction[..., Any], instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.__func__(self.__self__, *arguments, **keywords)

    def invalidate(self, *arguments: Any, **keywords: Any) -> None:
        """Forget the result for these arguments."""
        self.__func__.invalidate(self.__self__, *arguments, **keywords)


@contextmanager
def driven(manager: _AsyncGeneratorContextManager[T], wrap: Callable[[T], W]) -> Iterator[W]:
    """The block of an asynchronous manager, for a caller without a loop."""
    step = _awaited(manager.__aenter__())
    try:
        held = drive(step)
        yield wrap(held)
        step = _awaited(manager.__aexit__(None, None, None))
        drive(step)
    except BaseException as error:
        if inspect.getcoroutinestate(step) == inspect.CORO_SUSPENDED:
            # An interrupt came to the driver itself: what was driven ends by it, too.
            _end(step, error)
            raise
        # It may also come when the block is entered and nobody knows it, or before it is left.
        step.close()
        if getattr(manager.gen, "ag_frame", None) is None:
            raise  # It has been left.
        if not drive(_awaited(manager.__aexit__(type(error), error, error.__traceback__))):
            raise


def _end(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> None:
    """Let a suspended coroutine end by an error; what it raises else is raised."""

    @types.coroutine
    def thrown() -> Generator[Any, Any, None]:
        try:
            wish = coroutine.throw(error)
            while True:
                wish = coroutine.send((yield wish))
        except StopIteration:
            return

    try:
        drive(_awaited(thrown()))
    except BaseException as other:
        if other is not error:
            raise


async def _awaited(work: Any) -> Any:
    return await work


def plain_store(given: Any, service: str | None, settings: dict[str, Any]) -> ScopedStore:
    """The store that a twin stands on, of a builder, or of an adapter or database.

    Raises:
        ConfigInvalid, AdapterRequired, ServiceRequired: it cannot be built.
    """
    if isinstance(given, StoreBuilder):
        store = given.build()
    elif isinstance(given, ScopedStore):
        store = given
    else:
        if service is None:
            raise ServiceRequired("a store wants a service; found none. Give its name")
        store = build_store(given, service, **settings)
    return store.around(lambda one: PortalAdapter(one) if one.needs_loop else one)


class PortalAdapter(AdapterLayer):
    """An adapter that needs an event loop, for callers that have none: it gets a thread with one.

    Messages of channels are delivered in that thread.
    """

    def __init__(self, inner: StateAdapter) -> None:
        super().__init__(inner)
        self.needs_loop = False
        self._closed = False
        self._portal = self._new_portal()
        parts_in_child(self)

    def _part(self) -> None:
        """A forked child has no thread of its parent's; it starts one when it needs it."""
        self._portal = self._new_portal()

    def _new_portal(self) -> Portal:
        return Portal(f"holdfast {self.inner.name}", system_components().host)

    async def through(self, verb: str, call: Callable[[], Any]) -> Any:
        async def work() -> Any:
            return await call()

        answer = await self._portal.run(work, withdraw=True)
        if verb != "subscribe":
            return answer
        unsubscribe: Callable[[], Coroutine[Any, Any, None]] = answer

        async def end() -> None:
            await self._portal.run(unsubscribe)

        return end

    async def close(self) -> None:
        closed, self._closed = self._closed, True
        if closed:
            return
        try:
            if self._portal.loop is not None:
                await self._portal.run(self._close_inner)
        finally:
            self._portal.close()

    async def _close_inner(self) -> None:
        await self.inner.close()
