"""RocksDB behind the words of `lsm.driver`.

The binding holds the interpreter while it writes with a flush, but not while it flushes the log.
So a batch is written without, and the log flushed after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DbClosedError,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from holdfast.contract.errors import Overloaded, StoreError
from holdfast.engines.embedded.locking import holding, pause
from holdfast.engines.lsm.config import LsmConfig
from holdfast.engines.lsm.driver import Change, Driver, Found, View, Walk
from holdfast.engines.lsm.failures import translate
from holdfast.engines.lsm.forks import Threads, leave
from holdfast.engines.lsm.place import Place
from holdfast.engines.rocksdb.config import RocksdbConfig

_COMPRESSIONS = {
    "none": DBCompressionType.none,
    "lz4": DBCompressionType.lz4,
    "zstd": DBCompressionType.zstd,
    "snappy": DBCompressionType.snappy,
}
_BLOCK_BYTES = 16 * 1024
#: Open tables kept at hand, well below what systems allow a process.
_OPEN_FILES_MAX = 256
#: The driver's own log files: small, few, and without statistics.
_LOG_FILES, _LOG_BYTES = 2, 2**20
#: What the list of files takes in one go, instead of four megabytes.
_LIST_BYTES = 64 * 1024
#: So much garbage in the oldest files of values has them collected.
_GARBAGE_SHARE = 0.5
_threads = Threads("rocksdb", joined=True)
#: What a write says that would have to wait for compaction.
_STALLED = "Write stall"
#: What a snapshot says of a key that is not there.
_ABSENT = "key not found"
#: How many of the files of values, the oldest ones, a compaction looks at.
_COLLECTED_SHARE, _OLDEST_SHARE = "blob_garbage_collection_age_cutoff", 0.25
#: How long a batch waits for compaction to catch up, and how often it asks.
STALLED_S, _PAUSE_S = 60.0, 0.005


def open_driver(config: LsmConfig, place: Place, monotonic: Callable[[], float]) -> Driver:
    """Open or make the database in `place.tables`."""
    del monotonic
    assert isinstance(config, RocksdbConfig)
    _threads.start()
    access = AccessType.read_only(False) if config.read_only else AccessType.read_write()
    try:
        found = Rdict(str(place.tables), _options(config), access_type=access)
    except Exception as error:
        raise translate(error, place.directory) from error
    return RocksdbDriver(found, place.directory)


class RocksdbWalk(Walk):
    """An iterator, which shows the state in which it was made for as long as it lives.

    Args:
        walk: of the driver.
        end: where it ends.
        lock: of an iterator that several share; reentrant.
    """

    def __init__(
        self, walk: RdictIter, end: bytes, directory: Path, lock: threading.RLock | None = None
    ) -> None:
        self._walk = walk
        self._end = end
        self._directory = directory
        self._lock = lock

    def rows(self, start: bytes, *, reverse: bool, rows_max: int, bytes_max: int) -> Found:
        def look() -> Found:
            return self._rows(start, reverse, rows_max, bytes_max)

        try:
            return look() if self._lock is None else holding(self._lock, look)
        except StoreError:
            raise
        except Exception as error:
            raise translate(error, self._directory) from error

    def _rows(self, start: bytes, reverse: bool, rows_max: int, bytes_left: int) -> Found:
        rows: list[tuple[bytes, bytes]] = []
        walk, end = self._walk, self._end
        if start >= end:
            return Found(rows, more=False)
        if not reverse:
            walk.seek(start)
        else:
            walk.seek_for_prev(end)
            if walk.valid() and walk.key() == end:
                walk.prev()
        step = walk.prev if reverse else walk.next
        more = False
        while walk.valid():
            key = walk.key()
            if key < start or key >= end:
                break
            if len(rows) == rows_max or bytes_left <= 0:
                more = True
                break
            value = walk.value()
            rows.append((key, value))
            bytes_left -= len(key) + len(value)
            step()
        walk.status()  # A walk over damage ends like one at the end.
        return Found(rows, more)


class RocksdbView(View):
    """A state that stands still.

    In the binding (0.3.29) iterators of a snapshot show the newest state, so this one keeps an
    iterator that was made together with it.
    """

    def __init__(self, database: Rdict, directory: Path) -> None:
        self._snapshot = database.snapshot()
        self._iterator = database.iter()
        self._directory = directory
        self._lock = threading.RLock()

    def get(self, key: bytes) -> bytes | None:
        try:
            found: bytes = self._snapshot[key]
        except Exception as error:
            if str(error) == _ABSENT:
                return None
            raise translate(error, self._directory) from error
        return found

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def walk(self, end: bytes) -> Walk:
        return RocksdbWalk(self._iterator, end, self._directory, self._lock)

    def snapshot(self) -> View:
        return self

    def disown(self) -> None:
        leave(self._snapshot)
        leave(self._iterator)


class RocksdbDriver(Driver):
    """An open database."""

    flushes_later = True

    def __init__(self, database: Rdict, directory: Path) -> None:
        self._database = database
        self._directory = directory
        self._unhurried = WriteOptions()
        self._unhurried.no_slowdown = True  # Else it would sleep with the interpreter held.

    def get(self, key: bytes) -> bytes | None:
        try:
            found: bytes | None = self._database.get(key)
        except Exception as error:
            raise translate(error, self._directory) from error
        return found

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            found: list[bytes | None] | None = self._database.get(list(keys))
        except Exception as error:
            raise translate(error, self._directory) from error
        return found or []

    def snapshot(self) -> View:
        try:
            return RocksdbView(self._database, self._directory)
        except Exception as error:
            raise translate(error, self._directory) from error

    def walk(self, end: bytes) -> Walk:
        # Above alone: in the binding (0.3.29) a lower bound takes the place of the upper one.
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        try:
            return RocksdbWalk(self._database.iter(options), end, self._directory)
        except Exception as error:
            raise translate(error, self._directory) from error

    def write(self, changes: Sequence[Change], *, flush: bool) -> None:
        waited = 0.0
        while True:
            try:
                self._database.write(_batch(changes), self._unhurried)
                break
            except Exception as error:
                if _STALLED not in str(error):
                    raise translate(error, self._directory) from error
                if waited >= STALLED_S:
                    raise self._stalled() from error
            pause(_PAUSE_S)
            waited += _PAUSE_S
        if flush:
            self.flush()

    def flush(self) -> None:
        try:
            self._database.flush_wal(True)
        except Exception as error:
            raise translate(error, self._directory) from error

    def compact(self) -> None:
        options = CompactOptions()
        options.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        try:
            self._database.flush()
            # Of their own accord files of values are collected a few at a time, the oldest first.
            self._database.set_options({_COLLECTED_SHARE: "1.0"})
            try:
                self._database.compact_range(None, None, compact_opt=options)
            finally:
                self._database.set_options({_COLLECTED_SHARE: str(_OLDEST_SHARE)})
        except Exception as error:
            raise translate(error, self._directory) from error

    def cancel(self) -> None:
        with suppress(DbClosedError):
            self._database.cancel_all_background(wait=False)

    def close(self) -> None:
        try:
            self._database.close()
        except DbClosedError:
            return
        except Exception as error:
            # It is closed then too. What is in the log alone stays there: it need not be a table.
            if not str(error).startswith("Shutdown in progress"):
                raise translate(error, self._directory) from error

    def disown(self) -> None:
        leave(self._database)

    def _stalled(self) -> StoreError:
        return Overloaded(
            f"the database {self._directory} takes no writes since {STALLED_S:.0f} s, because "
            "merging its tables does not keep up; nothing was written. Write less at once, or give "
            "it a faster medium"
        )


def _batch(changes: Sequence[Change]) -> WriteBatch:
    """The changes as the driver takes them, once."""
    batch = WriteBatch(raw_mode=True)
    for key, value in changes:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def _options(config: RocksdbConfig) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(not config.read_only)
    # A flush of the log and a crash after it: what lies behind the first torn record is nothing.
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_paranoid_checks(enabled=True)
    options.set_write_buffer_size(config.write_buffer)
    options.set_target_file_size_base(config.write_buffer)
    options.set_max_bytes_for_level_base(4 * config.write_buffer)
    options.set_compression_type(_COMPRESSIONS[config.compression]())
    options.set_max_open_files(_OPEN_FILES_MAX)
    options.set_keep_log_file_num(_LOG_FILES)
    options.set_max_log_file_size(_LOG_BYTES)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_manifest_preallocation_size(_LIST_BYTES)
    tables = BlockBasedOptions()
    if config.cache_size:
        tables.set_block_cache(Cache(config.cache_size))
    else:
        tables.disable_cache()
    tables.set_block_size(_BLOCK_BYTES)
    if config.bloom_bits:
        tables.set_bloom_filter(config.bloom_bits, block_based=False)
    options.set_block_based_table_factory(tables)
    if config.separate_values:
        options.set_enable_blob_files(val=True)
        options.set_min_blob_size(config.separate_values)
        options.set_blob_file_size(config.write_buffer)
        options.set_blob_compression_type(_COMPRESSIONS[config.compression]())
        options.set_enable_blob_gc(val=True)
        options.set_blob_gc_age_cutoff(_OLDEST_SHARE)
        options.set_blob_gc_force_threshold(_GARBAGE_SHARE)
    return options
