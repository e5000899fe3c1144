"""What judges the values of a database: what namespaces require, and the schemas that say it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from holdfast.contract.runtime import Clock
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.requirements import Requirements

if TYPE_CHECKING:
    from holdfast.records.schemas.registry import SchemaRegistry


class Rules(Requirements):
    """The requirements of a database, with the registry of its schemas.

    The registry and its validators are loaded when something first needs them: most databases use
    no schema.

    Args:
        store: of the whole database, one that may write reserved names.
        clock: tells how old what was read is.
    """

    def __init__(self, store: KeyValueStoreInterface, clock: Clock) -> None:
        super().__init__(store, clock)
        self._registry: SchemaRegistry | None = None
        self._lock = threading.Lock()

    @property
    def registry(self) -> SchemaRegistry:
        """The schemas of the database; loaded on first use."""
        with self._lock:
            if self._registry is None:
                from holdfast.records.schemas.registry import SchemaRegistry

                self._registry = SchemaRegistry(self._store, self)
            return self._registry
