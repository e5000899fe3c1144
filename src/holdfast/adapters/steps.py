"""One step of several reads and writes on a store that nobody comes between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from holdfast.contract.errors import Conflict
from holdfast.stores.store import Store as AsyncStore
from holdfast.stores.transaction import StoreTransaction as AsyncStoreTransaction
from holdfast.sync import Store, StoreTransaction

R = TypeVar("R")

#: How often a step is tried that others keep coming before; each time one of them got on.
ATTEMPTS_MAX: Final = 1_000


def one_step(store: Store, step: Callable[[StoreTransaction], R]) -> R:
    """Run `step` in a transaction, again when another writer came first; what it returned.

    Raises:
        Conflict: others came first every time.
    """
    for _ in range(ATTEMPTS_MAX):
        try:
            with store.transaction() as transaction:
                return step(transaction)
        except Conflict:
            continue
    raise contended()


async def one_async_step(
    store: AsyncStore, step: Callable[[AsyncStoreTransaction], Awaitable[R]]
) -> R:
    """The same on an event loop."""
    for _ in range(ATTEMPTS_MAX):
        try:
            async with store.transaction() as transaction:
                return await step(transaction)
        except Conflict:
            continue
    raise contended()


def contended() -> Conflict:
    """What is raised after the last attempt."""
    return Conflict(f"others changed the key during each of {ATTEMPTS_MAX} attempts; try again")
