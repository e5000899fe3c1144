"""sqlitedict: a pickling dict on SQLite, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import CallingStore


class SqliteDict(CallingStore):
    """`SqliteDict` with a write-ahead log, which is quicker than its default journal.

    Args:
        commit_each: the number of writes after which it commits; 1 is its `autocommit`.
        synchronous: OFF is what it sets itself; FULL flushes in each commit.
    """

    def __init__(self, folder: Path, *, commit_each: int = 1, synchronous: str = "OFF") -> None:
        super().__init__(folder)
        self._commit_each = commit_each
        self._synchronous = synchronous
        self._written = 0
        self._rows: Any = None

    def start(self) -> None:
        self._rows = self._open(autocommit=self._commit_each == 1)
        if self._synchronous != "OFF":
            # It has no setting for this; its connection runs the statement in its own thread.
            self._rows.conn.select_one(f"PRAGMA synchronous = {self._synchronous}")

    def _open(self, *, autocommit: bool) -> Any:
        return driver("sqlitedict").SqliteDict(
            str(self.folder / "sqlitedict.db"), journal_mode="WAL", autocommit=autocommit,
            outer_stack=False,
        )  # fmt: skip

    def stop(self) -> None:
        self._rows.commit()
        self._rows.close()

    def get(self, key: str) -> Value | None:
        value: Value | None = self._rows.get(key)
        return value

    def set(self, key: str, value: Value) -> None:
        self._rows[key] = value
        self._written += 1
        if self._commit_each > 1 and self._written % self._commit_each == 0:
            self._rows.commit()

    def fill(self, records: Iterable[tuple[str, Value]]) -> None:
        # With autocommit it would commit each record of an update.
        self.stop()
        self._rows = self._open(autocommit=False)
        super().fill(records)
        self.stop()
        self.start()

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        self._rows.update(records)
        self._rows.commit()
