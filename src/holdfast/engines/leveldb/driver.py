"""LevelDB behind the words of `lsm.driver`.

The binding lets other threads run while LevelDB works, and ends a database under their hands when
it is closed. So calls are counted, and a close waits until the last one returned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import get_ident
from typing import Any, TypeVar
from weakref import ref

import plyvel

from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.files import flush_directory
from holdfast.engines.embedded.file_failures import translated
from holdfast.engines.embedded.locking import pause
from holdfast.engines.leveldb.config import LeveldbConfig
from holdfast.engines.lsm.config import LsmConfig
from holdfast.engines.lsm.driver import Change, Driver, Found, View, Walk
from holdfast.engines.lsm.failures import translate
from holdfast.engines.lsm.forks import Threads, leave
from holdfast.engines.lsm.place import Place

T = TypeVar("T")

_threads = Threads("leveldb", joined=False)
_BLOCK_BYTES = 16 * 1024
#: Open tables kept at hand, well below what systems allow a process.
_OPEN_FILES_MAX = 256
#: File systems step their clocks in ticks: a time of change says something once it is older.
_TICK_S = 0.1
#: How long a close waits for calls of other threads, which take far less, and how often it looks.
LEFT_WITHIN_S, _PAUSE_S = 10.0, 0.001


def open_driver(config: LsmConfig, place: Place, monotonic: Callable[[], float]) -> Driver:
    """Open or make the database in `place.tables`."""
    assert isinstance(config, LeveldbConfig)
    _threads.start()
    try:
        found = plyvel.DB(
            str(place.tables),
            create_if_missing=not config.read_only,
            paranoid_checks=True,
            write_buffer_size=config.write_buffer,
            max_file_size=config.write_buffer,
            max_open_files=_OPEN_FILES_MAX,
            lru_cache_size=config.cache_size or None,
            block_size=_BLOCK_BYTES,
            compression=None if config.compression == "none" else config.compression,
            bloom_filter_bits=config.bloom_bits,
        )
    except (plyvel.Error, UnicodeError) as error:
        raise translate(error, place.directory) from error
    names = Names(place.tables, monotonic)
    with translated(place.directory):
        names.flush_list()
    return LeveldbDriver(found, place.directory, names)


class Call:
    """A call under way: it lives in the frame that makes it, whatever ends that."""

    __slots__ = ("__weakref__",)


class Calls:
    """The calls under way on one database, by thread, and whether there may be more of them.

    Attributes:
        closed: there may not.
        ended: the driver's database is closed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.closed = self.ended = False
        self._kept: list[Any] = []
        self._running: dict[int, ref[Call]] = {}

    def run(self, call: Callable[[], T]) -> T:
        """What the call returns; errors of the contract in place of the driver's."""
        thread, mine = get_ident(), Call()
        # The collector may let go of a snapshot in the middle of a call.
        outer = self._running.get(thread)
        try:
            self._running[thread] = ref(mine)
            # Looked at only now: either this sees the close, or the close sees this.
            if self.closed:
                raise StoreClosed(f"the database {self.directory} is closed; open it again")
            return call()
        except (plyvel.Error, RuntimeError) as error:
            raise self._translated(error) from error
        finally:
            # An interrupt right here leaves it to the next call of the thread.
            if outer is None:
                self._running.pop(thread, None)
            else:
                self._running[thread] = outer

    def end(self) -> bool:
        """Refuse further calls; whether those of other threads have returned."""
        self.closed = True
        waited = 0.0
        while self._others() and waited < LEFT_WITHIN_S:
            pause(_PAUSE_S)
            waited += _PAUSE_S
        return not self._others()

    def let_go(self, snapshot: Any) -> None:
        """Let go of a snapshot.

        The binding does so without a look at other threads, so it is a call like any other. Once a
        close is under way it is too late for that: the snapshot then stays until the close is over.
        """
        try:
            self.run(snapshot.close)
        except StoreError:
            if not self.ended:
                self._kept.append(snapshot)

    def all_ended(self) -> None:
        """The driver's database is closed: what is let go of now does not touch it any more."""
        self.ended = True
        self._kept.clear()

    def _others(self) -> bool:
        here = get_ident()  # Whatever this thread began is over: it is here.
        running = list(self._running.items())
        return any(one() is not None for thread, one in running if thread != here)

    def _translated(self, error: Exception) -> StoreError:
        if isinstance(error, RuntimeError):
            return StoreClosed(f"the database {self.directory} is closed; open it again")
        return translate(error, self.directory)


class Names:
    """The names in the driver's directory, which it flushes with its list of files alone.

    It puts a new list in the place of the old one at each opening, and begins a new log now and
    then, and leaves it to the file system when their names are on the medium. So this flushes them.

    Args:
        tables: the driver's directory.
        monotonic: the clock for durations.
    """

    def __init__(self, tables: Path, monotonic: Callable[[], float]) -> None:
        self._tables = tables
        self._monotonic = monotonic
        self._changed = -1
        self._seen_at = 0.0
        self._settled = False

    def flush_list(self) -> None:
        """Flush what a driver needs to find anything: the list of files, and its name."""
        current = self._tables / "CURRENT"
        for path in (self._tables / current.read_text("ascii").strip(), current):
            with path.open("rb", buffering=0) as file:
                os.fsync(file.fileno())
        flush_directory(self._tables)

    def flush(self) -> None:
        """Flush the names, if some may have changed since the last time."""
        changed = self._tables.stat().st_mtime_ns
        now = self._monotonic()
        if changed != self._changed:
            self._changed, self._seen_at, self._settled = changed, now, False
        if not self._settled:
            flush_directory(self._tables)
            self._settled = now - self._seen_at > _TICK_S


class _Reading(View):
    """What the database and its snapshots share."""

    def __init__(self, source: Any, calls: Calls) -> None:
        self._source = source
        self._calls = calls

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._calls.run(lambda: self._source.get(key, verify_checksums=True))
        return found

    def disown(self) -> None:
        leave(self._source)


class LeveldbView(_Reading):
    """A snapshot."""

    _left = True  # Until it has what it lets go: an interrupt can come before that.

    def __init__(self, source: Any, calls: Calls) -> None:
        super().__init__(source, calls)
        self._left = False

    def __del__(self) -> None:
        if not self._left:
            self._calls.let_go(self._source)

    def disown(self) -> None:
        self._left = True
        super().disown()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def walk(self, end: bytes) -> Walk:
        return LeveldbWalk(self, self._source, end, self._calls)

    def snapshot(self) -> View:
        return self


class LeveldbWalk(Walk):
    """A walk through a snapshot.

    Args:
        view: kept, for the snapshot goes with it.
        snapshot: of the driver.
        end: where it ends.
        calls: of the database.
    """

    def __init__(self, view: LeveldbView, snapshot: Any, end: bytes, calls: Calls) -> None:
        self._view = view
        self._snapshot = snapshot
        self._end = end
        self._calls = calls

    def rows(self, start: bytes, *, reverse: bool, rows_max: int, bytes_max: int) -> Found:
        return self._calls.run(lambda: self._rows(start, reverse, rows_max, bytes_max))

    def _rows(self, start: bytes, reverse: bool, rows_max: int, bytes_left: int) -> Found:
        rows: list[tuple[bytes, bytes]] = []
        if start >= self._end:
            return Found(rows, more=False)
        # A raw one: in the binding (1.5.1) the others leave out `start` when they go backwards.
        with self._snapshot.raw_iterator(verify_checksums=True) as walk:
            walk.seek(self._end if reverse else start)
            if reverse:
                if walk.valid():
                    walk.prev()
                else:
                    walk.seek_to_last()
            step = walk.prev if reverse else walk.next
            while walk.valid():
                key, value = walk.item()
                if key < start or key >= self._end:
                    break
                if len(rows) == rows_max or bytes_left <= 0:
                    return Found(rows, more=True)
                rows.append((key, value))
                bytes_left -= len(key) + len(value)
                step()
        return Found(rows, more=False)


class LeveldbDriver(_Reading, Driver):
    """An open database."""

    flushes_later = False

    def __init__(self, database: Any, directory: Path, names: Names) -> None:
        super().__init__(database, Calls(directory))
        self._directory = directory
        self._names = names

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.snapshot().get_many(keys)

    def walk(self, end: bytes) -> Walk:
        return self.snapshot().walk(end)

    def snapshot(self) -> View:
        return LeveldbView(self._calls.run(self._source.snapshot), self._calls)

    def write(self, changes: Sequence[Change], *, flush: bool) -> None:
        batch = self._calls.run(lambda: self._source.write_batch(sync=flush))
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._calls.run(batch.write)
        if flush:
            with translated(self._directory):
                self._names.flush()

    def flush(self) -> None:
        """Nothing is left: each write flushes itself."""

    def compact(self) -> None:
        self._calls.run(self._source.compact_range)

    def close(self) -> None:
        # Where a call never returns the database stays open with it, until the process ends.
        if self._calls.end():
            self._source.close()
            self._calls.all_ended()
        else:
            self.disown()
