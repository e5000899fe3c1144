"""ZODB: a graph of pickled objects with transactions; records stand in a B-tree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import CallingStore, Change, bounds

_TREE = "records"


class Zodb(CallingStore):
    """`FileStorage` and an `OOBTree` of `PersistentMapping`s, so that a write stores one record.

    Each call is a transaction, as with every other store here: a read begins one, so that it sees
    what others committed, and a write commits one, which flushes. A value read is the object that
    the connection has cached; changing it would change the cache.
    """

    def start(self) -> None:
        storage = driver("ZODB.FileStorage").FileStorage(str(self.folder / "zodb.fs"))
        self._database: Any = driver("ZODB").DB(storage, cache_size=1_000_000)
        self._manager: Any = driver("transaction").TransactionManager(explicit=True)
        self._connection: Any = self._database.open(self._manager)
        with self._manager:
            root = self._connection.root()
            if _TREE not in root:
                root[_TREE] = driver("BTrees.OOBTree").OOBTree()
        self._tree: Any = root[_TREE]
        self._mapping: Any = driver("persistent.mapping").PersistentMapping

    def stop(self) -> None:
        self._connection.close()
        self._database.close()

    def get(self, key: str) -> Value | None:
        with self._manager:
            return self._read(key)

    def set(self, key: str, value: Value) -> None:
        with self._manager:
            self._write(key, value)

    def modify(self, key: str, change: Change) -> None:
        with self._manager:
            self._write(key, change(self._read(key)))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        with self._manager:
            for key, value in records:
                self._write(key, value)

    def _read(self, key: str) -> Value | None:
        record = self._tree.get(key)
        if record is None:
            return None
        value: Value = record.data
        return value

    def _write(self, key: str, value: Value) -> None:
        record = self._tree.get(key)
        if record is None:
            self._tree[key] = self._mapping(value)
        else:
            record.data = value

    def scan(self, prefix: str, rows: int) -> int:
        with self._manager:
            found = 0
            for record in islice(self._tree.values(*bounds(prefix)), rows):
                record.data  # noqa: B018 - loads it
                found += 1
            return found
