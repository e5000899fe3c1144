"""diskcache: SQLite with a cache policy; values are pickled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import CallingStore, Change

#: SQLite's words for its setting.
_SYNCHRONOUS = {"NORMAL": 1, "FULL": 2}


class DiskCache(CallingStore):
    """`Cache`, without eviction.

    Args:
        synchronous: NORMAL is its default; FULL flushes in each commit.
    """

    def __init__(self, folder: Path, *, synchronous: str = "NORMAL") -> None:
        super().__init__(folder)
        self._synchronous = synchronous

    def start(self) -> None:
        self._cache: Any = driver("diskcache").Cache(
            str(self.folder / "diskcache"), eviction_policy="none",
            sqlite_synchronous=_SYNCHRONOUS[self._synchronous],
        )  # fmt: skip

    def stop(self) -> None:
        self._cache.close()

    def get(self, key: str) -> Value | None:
        value: Value | None = self._cache.get(key)
        return value

    def set(self, key: str, value: Value) -> None:
        self._cache.set(key, value)

    def modify(self, key: str, change: Change) -> None:
        with self._cache.transact():
            self._cache.set(key, change(self._cache.get(key)))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        with self._cache.transact():
            for key, value in records:
                self._cache.set(key, value)
