"""The raw drivers, with the encoding that ours does and nothing else: no metadata, no history."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import msgspec
from sortedcontainers import SortedDict

from benchmarks.data import Value
from benchmarks.stores.base import CallingStore, Change, bounds

#: The page cache that our own SQLite engine has, too.
_SQLITE_CACHE_KIB = 32 * 1024


class RawStore(CallingStore):
    """What the raw drivers share: values as deterministic MessagePack."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.encode = msgspec.msgpack.Encoder(order="deterministic").encode
        self.decode = msgspec.msgpack.Decoder().decode


class RawDict(RawStore):
    """A sorted dict of encoded values."""

    def start(self) -> None:
        self._rows: Any = SortedDict()

    def stop(self) -> None:
        self._rows.clear()

    def get(self, key: str) -> Value | None:
        stored = self._rows.get(key)
        return None if stored is None else self.decode(stored)

    def set(self, key: str, value: Value) -> None:
        self._rows[key] = self.encode(value)

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        for key, value in records:
            self.set(key, value)

    def scan(self, prefix: str, rows: int) -> int:
        keys = list(islice(self._rows.irange(*bounds(prefix)), rows))
        for key in keys:
            self.decode(self._rows[key])
        return len(keys)


class RawLmdb(RawStore):
    """One LMDB transaction for each call.

    Args:
        flush: whether a commit flushes. Without, the file may be damaged by a power loss, which
            is why Holdfast has no such mode; it shows what the driver costs by itself.
    """

    MAP_BYTES = 1 << 36

    def __init__(self, folder: Path, *, flush: bool = True) -> None:
        super().__init__(folder)
        self._flush = flush

    def start(self) -> None:
        self.environment = lmdb.open(
            str(self.folder / "raw"), map_size=self.MAP_BYTES, sync=self._flush
        )

    def stop(self) -> None:
        self.environment.sync(True)
        self.environment.close()

    def get(self, key: str) -> Value | None:
        # Quicker by a fifth than the transaction as a context manager.
        transaction = self.environment.begin()
        stored = transaction.get(key.encode())
        value = None if stored is None else self.decode(stored)
        transaction.abort()
        return value

    def set(self, key: str, value: Value) -> None:
        stored = self.encode(value)
        with self.environment.begin(write=True) as transaction:
            transaction.put(key.encode(), stored)

    def modify(self, key: str, change: Change) -> None:
        name = key.encode()
        with self.environment.begin(write=True) as transaction:
            stored = transaction.get(name)
            value = change(None if stored is None else self.decode(stored))
            transaction.put(name, self.encode(value))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        with self.environment.begin(write=True) as transaction:
            for key, value in records:
                transaction.put(key.encode(), self.encode(value))

    def scan(self, prefix: str, rows: int) -> int:
        start, end = (bound.encode() for bound in bounds(prefix))
        found = 0
        with self.environment.begin() as transaction, transaction.cursor() as cursor:
            if cursor.set_range(start):
                for key, stored in cursor:
                    if found == rows or key >= end:
                        break
                    self.decode(stored)
                    found += 1
        return found


class RawSqlite(RawStore):
    """One SQLite transaction for each call: write-ahead log, one table of key and value.

    Args:
        synchronous: FULL flushes the log in each commit, NORMAL at checkpoints only.
    """

    def __init__(self, folder: Path, *, synchronous: str = "FULL") -> None:
        super().__init__(folder)
        self._synchronous = synchronous

    def start(self) -> None:
        connection = sqlite3.connect(
            self.folder / "raw.db", isolation_level=None, cached_statements=64
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
        )
        self._connection = connection
        self.execute = connection.execute

    def stop(self) -> None:
        self._connection.close()

    SELECT = "SELECT value FROM records WHERE key = ?"
    UPSERT = (
        "INSERT INTO records VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    _RANGE = "SELECT value FROM records WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"

    def get(self, key: str) -> Value | None:
        row = self.execute(self.SELECT, (key.encode(),)).fetchone()
        return None if row is None else self.decode(row[0])

    def set(self, key: str, value: Value) -> None:
        self.execute(self.UPSERT, (key.encode(), self.encode(value)))

    def modify(self, key: str, change: Change) -> None:
        self.execute("BEGIN IMMEDIATE")
        self.set(key, change(self.get(key)))
        self.execute("COMMIT")

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        self.execute("BEGIN IMMEDIATE")
        rows = ((key.encode(), self.encode(value)) for key, value in records)
        self._connection.executemany(self.UPSERT, rows)
        self.execute("COMMIT")

    def scan(self, prefix: str, rows: int) -> int:
        start, end = bounds(prefix)
        found = 0
        for (stored,) in self.execute(self._RANGE, (start.encode(), end.encode(), rows)):
            self.decode(stored)
            found += 1
        return found
