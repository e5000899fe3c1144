"""What a store is given by the multi-store that made it."""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.stores.content import Content
from holdfast.stores.lifecycle import Lifecycle


class Home(Protocol):
    """Where a store belongs.

    Attributes:
        lifecycle: what happens to stores is told here.
        fixed: whether stores are seen here through a transaction or a snapshot.
        writable: whether anything can be written.
    """

    lifecycle: Lifecycle
    fixed: bool
    writable: bool

    def path_of(self, content: Content) -> str | None:
        """Where the rows of the store are, on an engine that keeps them on a disk."""
        ...

    async def renewed(self, content: Content) -> Content | None:
        """The store as its settings are by now; None when they are the same, or it is gone."""
        ...

    async def tracked(self, content: Content) -> Content:
        """The store with its changed keys recorded from now on."""
        ...

    async def indexed(self, content: Content, *, wanted: bool) -> Content:
        """The store with a fast index of its latest version kept from now on, or not any more."""
        ...

    async def branched(self, content: Content, name: str, version: int | None) -> Any:
        """A new store that begins as a saved version of this one."""
        ...

    def forget(self, number: int) -> None:
        """A store was closed: asking for it then gives another object."""
        ...
