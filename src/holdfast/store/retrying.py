"""What lost to another transaction is run again, after a pause that grows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from holdfast.contract.errors import Conflict, InvalidInput
from holdfast.contract.pauses import pause_s
from holdfast.contract.runtime import Components

T = TypeVar("T")

#: How often a function is run again after a conflict, unless told otherwise.
RETRIES: Final = 10
#: The first pause between two tries, doubled each time up to the last, a random part of it.
PAUSE_FIRST_S: Final = 0.001
PAUSE_LAST_S: Final = 0.1


async def retried(
    attempt: Callable[[], Awaitable[T]], components: Components, retries: int = RETRIES
) -> T:
    """What `attempt` returns; it is called again after a Conflict, `retries` times.

    Raises:
        Conflict: it lost every time.
        InvalidInput: `retries` is no count.
    """
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise InvalidInput(f"retries is an int from 0; found {retries!r}")
    for failed in range(1, retries + 1):
        try:
            return await attempt()
        except Conflict:
            pause = pause_s(components.ids, failed, PAUSE_FIRST_S, PAUSE_LAST_S)
        await components.host.runtime().sleep(pause)
    return await attempt()
