"""Calling what callers wrote: it may raise anything, and nothing that listens may end by it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

from holdfast.contract.runtime import Host


async def call(host: Host, function: Callable[..., Any], *arguments: Any) -> BaseException | None:
    """Call a function, plain or a coroutine function; what it raised, or None.

    Raises:
        BaseException: the task that calls is itself cancelled, or being taken down; or somebody
            interrupts the thread that calls.
    """
    try:
        result = function(*arguments)
        if inspect.isawaitable(result):
            await result
    except GeneratorExit:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and _callers_own(host, error):
            raise
        return error
    return None


def _callers_own(host: Host, error: BaseException) -> bool:
    """Whether it came from outside, to whoever calls."""
    runtime = host.runtime()
    if runtime.blocking:
        # Signals come to the main thread. Where the function holds it, Ctrl-C and the handler of a
        # SIGTERM have to end what runs there.
        here = threading.current_thread() is threading.main_thread()
        return here and isinstance(error, KeyboardInterrupt | SystemExit)
    # A loop's task counts who cancels it; a cancellation of the function's own does not.
    cancelling = getattr(runtime.caller(), "cancelling", None)
    return cancelling is not None and bool(cancelling())
