"""The rows that Holdfast writes, by hand in a journal of one file, in RocksDB and in LevelDB."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import plyvel
import rocksdict

from benchmarks.data import Value
from benchmarks.stores.by_hand import (
    DATA,
    HEADER_AT,
    HandMemory,
    HandStore,
    Row,
    unpack_header,
    value_of,
)
from holdfast.engines.file.records import Commit
from holdfast.engines.file.records import Row as Record
from holdfast.engines.file.segment import FORMATS

#: Where the head stands, as in the stores by hand on LMDB.
_HEAD = b"\0head"
_REVISION_BYTES = 8
#: As our engine has them.
LEVELDB_OPTIONS: dict[str, Any] = {
    "write_buffer_size": 64 * 2**20, "lru_cache_size": 128 * 2**20, "bloom_filter_bits": 10,
}  # fmt: skip


class HandFile(HandMemory):
    """In a dict, and each commit appended to one file and flushed: the lines that ours writes."""

    def start(self) -> None:
        super().start()
        self._file = os.open(self.folder / "by-hand.jsonl", os.O_CREAT | os.O_RDWR, 0o600)
        self._end = 0
        self._line = FORMATS["json"].encode

    def stop(self) -> None:
        super().stop()
        os.close(self._file)

    def set(self, key: str, value: Value) -> None:
        self.load(((key, value),))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        revision = self.head + 1
        planned = [
            row
            for index, (key, value) in enumerate(records)
            for row in self.plan(self._rows.get, key, value, revision, index)
        ]
        lines = [self._line(Record(key, revision, row[_REVISION_BYTES:])) for key, row in planned]
        lines.append(self._line(Commit(revision, self.head, len(planned))))
        data = b"".join(lines)
        os.pwrite(self._file, data, self._end)
        os.fdatasync(self._file)
        self._end += len(data)
        self._rows.update(planned)
        self.head = revision


class _HandSorted(HandStore):
    """In a database of sorted rows: one flushed batch for each call."""

    _read: Any
    _walk: Any

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Write and flush."""

    def get(self, key: str) -> Value | None:
        return value_of(self._read(self.data_key(key)))

    def set(self, key: str, value: Value) -> None:
        self.load(((key, value),))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        revision = self.head + 1
        rows: list[Row] = []
        for index, (key, value) in enumerate(records):
            rows += self.plan(self._read, key, value, revision, index)
        rows.append((_HEAD, revision.to_bytes(_REVISION_BYTES, "big")))
        self.write(rows)
        self.head = revision

    def rows(self) -> Iterator[Row]:
        yield from self._walk(b"")

    def walk(self) -> int:
        """Read every header, in key order; how many."""
        count = 0
        for key, row in self._walk(DATA):
            if not key.startswith(DATA):
                break
            unpack_header(row, HEADER_AT)
            count += 1
        return count


class HandRocksdb(_HandSorted):
    """In RocksDB; the log is flushed after the batch, during which the binding lets nobody run."""

    def start(self) -> None:
        options = rocksdict.Options(raw_mode=True)
        self._database = rocksdict.Rdict(str(self.folder / "by-hand"), options)
        self._read = self._database.get
        self._walk = lambda start: self._database.items(from_key=start)

    def stop(self) -> None:
        self._database.close()

    def write(self, rows: Sequence[Row]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, row in rows:
            batch.put(key, row)
        self._database.write(batch)
        self._database.flush_wal(True)


class HandLeveldb(_HandSorted):
    """In LevelDB."""

    def start(self) -> None:
        self._database: Any = plyvel.DB(
            str(self.folder / "by-hand"), create_if_missing=True, **LEVELDB_OPTIONS
        )
        self._read = self._database.get
        self._walk = lambda start: self._database.iterator(start=start)

    def stop(self) -> None:
        self._database.close()

    def write(self, rows: Sequence[Row]) -> None:
        with self._database.write_batch(sync=True) as batch:
            for key, row in rows:
                batch.put(key, row)
