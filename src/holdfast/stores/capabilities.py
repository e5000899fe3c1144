"""What a store can do, asked before it is tried: protocols, and probes that are true.

Whether an object has a method says little: a store seen through a snapshot has `save_version`
too, and refuses. The probes ask the store itself, and tests compare their answer with what it does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class RangeQueryable(Protocol):
    """Walks its keys in order, from one to another."""

    @property
    def supports_range_queries(self) -> bool:
        """Whether `iterate_range` works here."""
        ...

    def iterate_range(
        self, start: bytes | None = None, end: bytes | None = None
    ) -> AsyncIterator[tuple[bytes, bytes]]:
        """The (key, value) pairs with `start <= key < end`."""
        ...


@runtime_checkable
class Transactional(Protocol):
    """Has transactions that are stores themselves."""

    @property
    def supports_transactions(self) -> bool:
        """Whether `transaction` works here."""
        ...

    def transaction(self, isolation: str = "serializable") -> Any:
        """A transaction on the store."""
        ...


@runtime_checkable
class Versioned(Protocol):
    """Saves versions, each with a root hash."""

    @property
    def supports_versioning(self) -> bool:
        """Whether `save_version` works here."""
        ...

    async def save_version(self) -> Any:
        """Save what stands here as the next version."""
        ...


def supports_range_queries(store: object) -> bool:
    """Whether `iterate_range` works on this object."""
    return isinstance(store, RangeQueryable) and store.supports_range_queries


def supports_transactions(store: object) -> bool:
    """Whether `transaction` works on this object."""
    return isinstance(store, Transactional) and store.supports_transactions


def supports_versioning(store: object) -> bool:
    """Whether `save_version` works on this object."""
    return isinstance(store, Versioned) and store.supports_versioning
