"""The rows that Holdfast writes, written by hand: the floor below what it can cost.

Each set writes the value's row with its header, the row of the version before, and the row of the
feed, in one transaction of the raw driver; a get reads the row and decodes the value. The rows are
those of format 2: `Database.check` has nothing against them (a test loads and checks them). What
Holdfast does beyond is missing: locks between processes, conditions, subscribers, schemas, limits.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from time import time_ns

import lmdb
import msgspec

from benchmarks.data import Value
from benchmarks.stores.base import CallingStore
from holdfast.codecs.keys import pack_text

#: Of the entries of a database: keyspace 1, and in it living rows, past versions and graves.
DATA, _PAST, _GRAVE = b"K\0\0\0\x01D", b"K\0\0\0\x01H", b"K\0\0\0\x01G"
_HEADER = struct.Struct(">BBQIqqq32s16sH")
_LIFE = struct.Struct(">IQ")
_PAST_HEAD = struct.Struct(">QH")
_REVISION_BYTES = 8
#: Where the header begins.
HEADER_AT = _REVISION_BYTES
#: Where the header ends, with two bytes that say how long what stands before the value is.
_HEADER_END = _REVISION_BYTES + _HEADER.size
_encode_value = msgspec.msgpack.Encoder(order="deterministic").encode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_pack, unpack_header = _HEADER.pack, _HEADER.unpack_from

#: (key, revision and value) of a row.
Row = tuple[bytes, bytes]
Reader = Callable[[bytes], bytes | None]


def packed(key: str) -> bytes:
    """The bytes of a key: each segment ends with a byte that is above those of its text."""
    namespace, colon, name = key.rpartition(":")
    segments = [*namespace.split("/"), name] if colon else [name]
    return b"".join(map(pack_text, segments))


class _Packed(dict[str, bytes]):
    """Packed keys, remembered, as ours are."""

    def __missing__(self, key: str) -> bytes:
        self[key] = found = DATA + packed(key)
        return found


class Planned:
    """Plans the rows of sets.

    Attributes:
        data_key: tells the bytes of a key's living row.
    """

    def __init__(self) -> None:
        self._made = 0
        self._maker = os.urandom(7)
        self.data_key = _Packed().__getitem__

    def plan(self, read: Reader, key: str, value: Value, revision: int, index: int) -> list[Row]:
        """The rows of one set."""
        self._made += 1
        canonical = _encode_value(value)
        data_key = self.data_key(key)
        old = read(data_key)
        now = time_ns() // 1_000_000
        stamp = revision.to_bytes(8, "big")
        if old is None:
            assert read(_GRAVE + data_key[len(DATA) :]) is None  # Nothing is ever deleted here.
            identity = now.to_bytes(6, "big") + self._made.to_bytes(3, "big") + self._maker
            version, incarnation, previous, created, updated = 1, 1, 0, now, now
            rows = []
        else:
            _, _, version, incarnation, created, updated, _, _, identity, _ = unpack_header(
                old, _REVISION_BYTES
            )
            previous = int.from_bytes(old[:_REVISION_BYTES], "big")
            past_key = _PAST + identity + _LIFE.pack(incarnation, version)
            past = stamp + _PAST_HEAD.pack(previous, 0) + old[_REVISION_BYTES:]
            rows = [(past_key, past)]
            version, updated = version + 1, max(now, updated)
        header = _pack(
            1, 0, version, incarnation, created, updated, 0, sha256(canonical).digest(), identity, 0
        )
        told = (1, 1, data_key[len(DATA) :], previous, updated, 0, None, None, None, None,
                identity, incarnation, version)  # fmt: skip
        rows.append((data_key, stamp + header + b"\x01" + canonical))
        rows.append((b"F" + stamp + index.to_bytes(4, "big"), stamp + _encode(told)))
        return rows


def value_of(stored: bytes | None) -> Value | None:
    """The value in a living row."""
    if stored is None:
        return None
    between = (stored[_HEADER_END - 2] << 8) + stored[_HEADER_END - 1]
    value: Value = _decode(stored[_HEADER_END + 1 + between :])
    return value


class HandStore(Planned, CallingStore):
    """What the stores by hand share.

    Attributes:
        head: the newest revision.
    """

    def __init__(self, folder: Path) -> None:
        CallingStore.__init__(self, folder)
        Planned.__init__(self)
        self.head = 0

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Every row."""

    @abstractmethod
    def walk(self) -> int:
        """Read every header, in key order; how many."""


class HandMemory(HandStore):
    """In a dict."""

    def start(self) -> None:
        self._rows: dict[bytes, bytes] = {}

    def stop(self) -> None:
        self._rows.clear()

    def rows(self) -> Iterator[Row]:
        yield from self._rows.items()

    def get(self, key: str) -> Value | None:
        return value_of(self._rows.get(self.data_key(key)))

    def set(self, key: str, value: Value) -> None:
        self.head += 1
        self._rows.update(self.plan(self._rows.get, key, value, self.head, 0))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        self.head += 1
        for index, (key, value) in enumerate(records):
            self._rows.update(self.plan(self._rows.get, key, value, self.head, index))

    def walk(self) -> int:
        """Read every header, in key order; how many."""
        keys = sorted(key for key in self._rows if key.startswith(DATA))
        for key in keys:
            unpack_header(self._rows[key], _REVISION_BYTES)
        return len(keys)


class HandLmdb(HandStore):
    """In LMDB, one transaction for each call.

    Args:
        flush: whether a commit flushes.
    """

    def __init__(self, folder: Path, *, flush: bool = True) -> None:
        super().__init__(folder)
        self._flush = flush

    def start(self) -> None:
        self._environment = lmdb.open(
            str(self.folder / "by-hand"), map_size=1 << 36, sync=self._flush, max_dbs=1
        )
        self._db = self._environment.open_db(b"rows")

    def stop(self) -> None:
        self._environment.close()

    def rows(self) -> Iterator[Row]:
        with self._environment.begin(db=self._db) as transaction:
            yield from transaction.cursor()

    def get(self, key: str) -> Value | None:
        transaction = self._environment.begin(db=self._db)
        value = value_of(transaction.get(self.data_key(key)))
        transaction.abort()
        return value

    def set(self, key: str, value: Value) -> None:
        self.load(((key, value),))

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        with self._environment.begin(write=True, db=self._db) as transaction:
            # Another process may have written: so the head is read, as ours is.
            head = transaction.get(b"\0head")
            revision = (int.from_bytes(head, "big") if head is not None else self.head) + 1
            for index, (key, value) in enumerate(records):
                for row_key, row in self.plan(transaction.get, key, value, revision, index):
                    transaction.put(row_key, row)
            transaction.put(b"\0head", revision.to_bytes(8, "big"))
        self.head = revision

    def walk(self) -> int:
        """Read every header, in key order; how many."""
        count = 0
        with self._environment.begin(db=self._db) as transaction:
            cursor = transaction.cursor()
            cursor.set_range(DATA)
            for key, row in cursor:
                if not key.startswith(DATA):
                    break
                unpack_header(row, _REVISION_BYTES)
                count += 1
        return count


class HandSqlite(HandStore):
    """In SQLite: write-ahead log, one transaction for each call.

    Args:
        synchronous: FULL flushes the log in each commit, NORMAL at checkpoints only.
    """

    #: How many sets pass between two checkpoints.
    CHECKPOINT_SETS = 500
    _PUT = (
        "INSERT INTO rows (key, value) VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )

    def __init__(self, folder: Path, *, synchronous: str = "FULL") -> None:
        super().__init__(folder)
        self._synchronous = synchronous
        self._since = 0

    def start(self) -> None:
        connection = sqlite3.connect(
            self.folder / "by-hand.db", isolation_level=None, cached_statements=64
        )
        self._connection, self._execute = connection, connection.execute
        for pragma in (
            "journal_mode = WAL", f"synchronous = {self._synchronous}", "cache_size = -32768",
            "wal_autocheckpoint = 0",
        ):  # fmt: skip
            self._execute(f"PRAGMA {pragma}")
        self._execute(
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, "
            "value BLOB NOT NULL)"
        )
        self._execute("CREATE TABLE head (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL)")
        self._execute("INSERT INTO head VALUES (1, ?)", (self.head,))

    def stop(self) -> None:
        self._connection.close()

    def rows(self) -> Iterator[Row]:
        yield from self._execute("SELECT key, value FROM rows ORDER BY key")

    def _read(self, key: bytes) -> bytes | None:
        row = self._execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def get(self, key: str) -> Value | None:
        return value_of(self._read(self.data_key(key)))

    def set(self, key: str, value: Value) -> None:
        self.load(((key, value),))
        self._since += 1
        if self._since == self.CHECKPOINT_SETS:
            self._since = 0
            self._execute("PRAGMA wal_checkpoint(PASSIVE)")

    def load(self, records: Sequence[tuple[str, Value]]) -> None:
        self._execute("BEGIN IMMEDIATE")
        [head] = self._execute("SELECT revision FROM head").fetchone()
        revision = head + 1
        for index, (key, value) in enumerate(records):
            rows = self.plan(self._read, key, value, revision, index)
            self._connection.executemany(self._PUT, rows)
        self._execute("UPDATE head SET revision = ?", (revision,))
        self._execute("COMMIT")
        self.head = revision

    def walk(self) -> int:
        """Read every header, in key order; how many."""
        count = 0
        end = DATA[:-1] + bytes((DATA[-1] + 1,))
        found = self._execute(
            "SELECT key, value FROM rows WHERE key >= ? AND key < ? ORDER BY key", (DATA, end)
        )
        for _, row in found:
            unpack_header(row, _REVISION_BYTES)
            count += 1
        return count
