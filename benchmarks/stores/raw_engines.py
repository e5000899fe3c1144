"""A file that is appended to, RocksDB and LevelDB: values encoded as ours, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import orjson
import plyvel
import rocksdict

from benchmarks.data import Value
from benchmarks.stores.by_hand_engines import LEVELDB_OPTIONS
from benchmarks.stores.raw import RawStore


class RawFile(RawStore):
    """A line of JSON with its checksum for each write, flushed; values in a dict."""

    def start(self) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        self._file = os.open(self.folder / "raw.jsonl", flags, 0o600)
        self._rows: dict[str, bytes] = {}

    def stop(self) -> None:
        os.close(self._file)

    def get(self, key: str) -> Value | None:
        stored = self._rows.get(key)
        return None if stored is None else self.decode(stored)

    def set(self, key: str, value: Value) -> None:
        self.load(((key, value),))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        lines = []
        for key, value in records:
            body = orjson.dumps({"key": key, "value": value})
            lines.append(b'%s,"crc":"%08x"}\n' % (body[:-1], crc32(body)))
        os.write(self._file, b"".join(lines))
        os.fdatasync(self._file)
        self._rows.update((key, self.encode(value)) for key, value in records)


class RawRocksdb(RawStore):
    """One batch for each call; the log is flushed after it, as ours does."""

    def start(self) -> None:
        options = rocksdict.Options(raw_mode=True)
        self._database = rocksdict.Rdict(str(self.folder / "raw"), options)

    def stop(self) -> None:
        self._database.close()

    def get(self, key: str) -> Value | None:
        stored = self._database.get(key.encode())
        return None if stored is None else self.decode(stored)

    def set(self, key: str, value: Value) -> None:
        self._database.put(key.encode(), self.encode(value))
        self._database.flush_wal(True)

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in records:
            batch.put(key.encode(), self.encode(value))
        self._database.write(batch)
        self._database.flush_wal(True)


class RawLeveldb(RawStore):
    """One flushed write for each call."""

    def start(self) -> None:
        self._database: Any = plyvel.DB(
            str(self.folder / "raw"), create_if_missing=True, **LEVELDB_OPTIONS
        )

    def stop(self) -> None:
        self._database.close()

    def get(self, key: str) -> Value | None:
        stored = self._database.get(key.encode())
        return None if stored is None else self.decode(stored)

    def set(self, key: str, value: Value) -> None:
        self._database.put(key.encode(), self.encode(value), sync=True)

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        with self._database.write_batch(sync=True) as batch:
            for key, value in records:
                batch.put(key.encode(), self.encode(value))
