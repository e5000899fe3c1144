"""Reading without waiting: engines of this process answer a read before it is first suspended."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine, Layer

T = TypeVar("T")


def answers_at_once(engine: Engine) -> bool:
    """Whether it is worth a try: no server answers, and no worker thread."""
    if engine.capabilities.io is Io.REMOTE:
        return False
    module = sys.modules.get("holdfast.layers.offload")
    while module is not None and isinstance(engine, Layer):
        if isinstance(engine, module.OffloadLayer):
            blocking: bool = engine.components.host.runtime().blocking
            return blocking
        engine = engine.inner
    return True


def at_once(reading: Coroutine[Any, Any, T]) -> T | None:
    """What is read, if that needs no waiting; else None, and the reading is broken off."""
    try:
        reading.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    reading.close()
    return None
