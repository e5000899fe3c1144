"""One step of several reads and writes on a store that nobody comes between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from holdfast.contract.errors import Conflict
from holdfast.contract.pauses import pause_s
from holdfast.runtime.system import drive, system_components
from holdfast.stores.store import Store as AsyncStore
from holdfast.stores.transaction import StoreTransaction as AsyncStoreTransaction
from holdfast.sync import Store, StoreTransaction

R = TypeVar("R")

#: How often a step is tried that others keep coming before; each time one of them got on.
ATTEMPTS_MAX: Final = 200
#: The first rest between two tries, doubled each time up to the last, a random part of it.
REST_FIRST_S: Final = 0.001
REST_LAST_S: Final = 0.1


def one_step(store: Store, step: Callable[[StoreTransaction], R]) -> R:
    """Run `step` in a transaction, again when another writer came first; what it returned.

    Raises:
        Conflict: others came first every time.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            with store.transaction() as transaction:
                return step(transaction)
        except Conflict:
            rest(attempt)
    raise contended()


async def one_async_step(
    store: AsyncStore, step: Callable[[AsyncStoreTransaction], Awaitable[R]]
) -> R:
    """The same on an event loop."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            async with store.transaction() as transaction:
                return await step(transaction)
        except Conflict:
            await _rest(attempt)
    raise contended()


def rest(failed: int) -> None:
    """Hold the thread for a moment after so many failed attempts."""
    drive(_rest(failed))


def contended() -> Conflict:
    """What is raised after the last attempt."""
    return Conflict(f"others changed the key during each of {ATTEMPTS_MAX} attempts; try again")


async def _rest(failed: int) -> None:
    components = system_components()
    pause = pause_s(components.ids, failed, REST_FIRST_S, REST_LAST_S)
    await components.host.runtime().sleep(pause)
