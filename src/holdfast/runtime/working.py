"""Functions that users hand in to be awaited: what is none, and what one forgot to await."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from holdfast.contract.errors import InvalidInput

T = TypeVar("T")


def is_coroutine_function(callback: object) -> bool:
    """Whether calling it makes a coroutine; also for partials and objects with `__call__`."""
    called: Any = callback
    return inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(
        getattr(type(called), "__call__", None)  # noqa: B004 - what it is, not whether it is
    )


def checked_work(work: Any, of: str) -> None:
    """Refuse what cannot be called. Raises InvalidInput; `of`: what runs it, for the message."""
    if not callable(work):
        raise InvalidInput(
            f"{of} runs a function that is given it; found a {type(work).__name__}. Give the "
            "function itself"
        )


async def worked(work: Callable[..., Awaitable[T]], given: Any, of: str) -> T:
    """What the function made of what it was given.

    A coroutine that it returned would be awaited by nobody, and what it was to write would be lost.

    Raises:
        InvalidInput: it is a plain function; or it returned a coroutine, as a coroutine function
            does that is given to a handle without an event loop.
    """
    promised: Any = work(given)
    if not inspect.isawaitable(promised):
        raise InvalidInput(
            f"the function that {of} runs is a coroutine function; found one that returned a "
            f"{type(promised).__name__}. Write it as `async def`, and await what it calls"
        )
    made: Any = await promised
    if inspect.iscoroutine(made):
        made.close()
        raise InvalidInput(
            f"the function that {of} runs returned a coroutine that nobody awaits. Await it "
            "inside; on a handle without an event loop, give a plain function"
        )
    return made  # type: ignore[no-any-return]


def checked_progress(progress: Any) -> None:
    """Refuse what cannot be told how far a long call has come. Raises InvalidInput."""
    if progress is None:
        return
    if not callable(progress):
        raise InvalidInput(f"progress is a function; found a {type(progress).__name__}")
    if is_coroutine_function(progress):
        raise InvalidInput(
            "progress is a plain function; found a coroutine function, which nobody would await"
        )
