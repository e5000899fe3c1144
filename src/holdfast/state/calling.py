"""Calling what callers wrote: it may raise anything, and nothing that listens may end by it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from holdfast.contract.runtime import Host


async def call(host: Host, function: Callable[..., Any], *arguments: Any) -> BaseException | None:
    """Call a function, plain or a coroutine function; what it raised, or None.

    Raises:
        BaseException: the task that calls is itself cancelled, or being taken down.
    """
    try:
        result = function(*arguments)
        if inspect.isawaitable(result):
            await result
    except GeneratorExit:
        raise
    except BaseException as error:
        # A loop's task counts who cancels it; a cancellation of the function's own does not.
        cancelling = getattr(host.runtime().caller(), "cancelling", None)
        if not isinstance(error, Exception) and cancelling is not None and cancelling():
            raise
        return error
    return None
