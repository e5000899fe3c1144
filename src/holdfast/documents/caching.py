"""Documents kept in memory between reads, never older than the database.

A hit asks the engine for its newest revision and nothing else: as long as no process has written
anything, what was read is what stands there. So it pays where reads outnumber writes by far, and
most of all where a read goes over a network.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.runtime import Clock
from holdfast.store.versions.entry import Entry


@dataclass(frozen=True)
class CacheConfig:
    """How much may be kept.

    Attributes:
        size: documents at most.
        ttl: seconds for which one may be kept; None: as long as it is current.
    """

    size: int = 10_000
    ttl: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ConfigInvalid(f"the size of a cache is an int from 1; found {self.size!r}")
        if self.ttl is not None and not self.ttl > 0:
            raise ConfigInvalid(f"the ttl of a cache is seconds above 0; found {self.ttl!r}")


class EntryCache:
    """The documents that were read last.

    Args:
        config: its limits.
        clock: measures the ttl.

    Attributes:
        hits, misses: how often a document was found, and how often it was not, or was not current.
    """

    def __init__(self, config: CacheConfig, clock: Clock) -> None:
        self.config = config
        self.hits = self.misses = 0
        self._now = clock.monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, Entry[Any] | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, head: int) -> tuple[Entry[Any] | None] | None:
        """(the entry or None,) as of the newest revision; None: that is not known."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept[0] != head or self._now() >= kept[2]:
                self.misses += 1
                return None
            self._kept.move_to_end(key)
            self.hits += 1
            return (kept[1],)

    def put(self, key: str, head: int, entry: Entry[Any] | None) -> None:
        """Keep what was read when this was the newest revision."""
        ttl = self.config.ttl
        until = float("inf") if ttl is None else self._now() + ttl
        with self._lock:
            self._kept[key] = head, entry, until
            self._kept.move_to_end(key)
            while len(self._kept) > self.config.size:
                self._kept.popitem(last=False)
