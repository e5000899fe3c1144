"""Reading without waiting: engines of this process answer a read before it is first suspended."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(reading: Coroutine[Any, Any, T]) -> T | None:
    """What is read, if that needs no waiting; else None, and the reading is broken off."""
    try:
        reading.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    reading.close()
    return None
