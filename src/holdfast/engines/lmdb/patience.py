"""Waiting for a place among LMDB's readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from holdfast.contract.errors import Overloaded
from holdfast.contract.runtime import Runtime

T = TypeVar("T")

#: How long a read without a place sleeps before it tries again.
_PAUSE_FIRST_S = 0.001
_PAUSE_LAST_S = 0.05


async def patiently(
    read: Callable[[], T],
    runtime: Callable[[], Runtime],
    timeout_s: float,
    refuse: Callable[[], None],
) -> T:
    """What `read` reads, once there is a place.

    Args:
        runtime: how the caller waits.
        timeout_s: after so long it raises Overloaded.
        refuse: raises once the engine is closed.
    """
    waited, pause = 0.0, _PAUSE_FIRST_S
    while True:
        try:
            return read()
        except Overloaded:
            if waited >= timeout_s:
                raise
        await runtime().sleep(pause)
        refuse()
        waited += pause
        pause = min(pause * 2, _PAUSE_LAST_S)
