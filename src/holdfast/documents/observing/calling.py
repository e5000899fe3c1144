"""Calling what users hand in: plain functions and coroutine functions, which may raise anything."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from holdfast.contract.errors import InvalidInput
from holdfast.runtime.working import is_coroutine_function

_log = logging.getLogger("holdfast")

Handler = Callable[..., object]


def checked_handler(handler: Any, *, blocking: bool) -> Handler:
    """A handler that can be called here. Raises InvalidInput."""
    if not callable(handler):
        raise InvalidInput(
            "a handler is a function, plain or a coroutine function; found a "
            f"{type(handler).__name__}"
        )
    if blocking and is_coroutine_function(handler):
        raise InvalidInput(
            "a synchronous handle has no event loop for a coroutine function; give a plain "
            "function, or use the asynchronous handle"
        )
    return handler  # type: ignore[no-any-return]


async def call(handler: Handler, *arguments: Any) -> None:
    """Call a handler, and await what it returns if that is to be awaited."""
    result = handler(*arguments)
    if inspect.isawaitable(result):
        await result


async def call_all(
    handlers: tuple[Handler, ...], *arguments: Any
) -> list[tuple[Handler, BaseException]]:
    """Call every handler, one after the other, whatever they raise; what they raised."""
    raised: list[tuple[Handler, BaseException]] = []
    for handler in handlers:
        try:
            await call_after(handler, *arguments)
        except BaseException as error:  # noqa: BLE001 - the others are called first
            raised.append((handler, error))
    return raised


async def call_after(handler: Handler, *arguments: Any) -> None:
    """Call a handler that is told of what has been done.

    Raises:
        RaisedAlone: it is a plain function, in which nothing can be cancelled, and raised what
            elsewhere means that.
    """
    try:
        result = handler(*arguments)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise RaisedAlone(error) from error
    if inspect.isawaitable(result):
        await result


class RaisedAlone(Exception):
    """Stands for what a plain function raised that is no Exception, and concerns nobody else."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


def log_raised(
    event: str,
    raised: list[tuple[Handler, BaseException]],
    going_on: tuple[type[BaseException], ...] = (BaseException,),
) -> None:
    """Log what handlers raised; an interrupt, if it is one of these, goes on to the caller."""
    interrupt: BaseException | None = None
    for handler, error in raised:
        if not isinstance(error, Exception) and isinstance(error, going_on):
            interrupt = error
            continue
        name = getattr(handler, "__qualname__", type(handler).__qualname__)
        # What it says may hold values.
        kind = type(error.error if isinstance(error, RaisedAlone) else error).__name__
        _log.error("the handler %s of %r raised %s", name, event, kind)
    if interrupt is not None:
        raise interrupt
