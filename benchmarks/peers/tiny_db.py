"""TinyDB: a list of documents in one JSON file, written whole each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.data import Value
from benchmarks.peers.driver import driver
from benchmarks.stores.base import CallingStore


class TinyDb(CallingStore):
    """Documents of key and value, found by a query on the key. It flushes in every write."""

    def start(self) -> None:
        tinydb = driver("tinydb")
        self._database: Any = tinydb.TinyDB(str(self.folder / "tiny.json"))
        self._where: Any = tinydb.where

    def stop(self) -> None:
        self._database.close()

    def get(self, key: str) -> Value | None:
        document = self._database.get(self._where("key") == key)
        return None if document is None else document["value"]

    def set(self, key: str, value: Value) -> None:
        self._database.upsert({"key": key, "value": value}, self._where("key") == key)

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        self._database.insert_multiple({"key": key, "value": value} for key, value in records)
