"""Logs what is done to a storage, for the search for a fault: never keys, never documents."""

from __future__ import annotations

import logging
from typing import Any, Final

from holdfast.contract.runtime import Clock
from holdfast.documents.collection import Collection

_log = logging.getLogger("holdfast.storage")

#: The operations that are logged, by the events around them.
OPERATIONS: Final = ("get", "set", "delete")


class Debugging:
    """Handlers that log operations with the id of their storage.

    Args:
        id: of the storage.
        clock: measures them.
    """

    def __init__(self, id: str, clock: Clock) -> None:
        self._id = id
        self._now = clock.monotonic
        self._began: dict[str, float] = {}

    def attach(self, collection: Collection[Any]) -> None:
        """Log what is done through the handle of this collection from now on."""
        for name in OPERATIONS:
            collection.on(f"before:{name}", self._before(name))
            collection.on(f"after:{name}", self._after(name))
        collection.on("error", self._failed)

    def _before(self, name: str) -> Any:
        def before(*_: object) -> None:
            self._began[name] = self._now()

        return before

    def _after(self, name: str) -> Any:
        def after(*_: object) -> None:
            took = self._now() - self._began.get(name, self._now())
            _log.debug("storage %s: %s took %.3f ms", self._id, name, 1000 * took)

        return after

    def _failed(self, error: Any) -> None:
        _log.debug("storage %s: failed with %s", self._id, error.code)
