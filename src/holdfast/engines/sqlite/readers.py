"""Reading: connections that any thread takes for the time of one read, and snapshots.

A read in write-ahead mode waits for no writer, so it runs where it is asked for. Each read is one
transaction, hence of one moment.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import InvalidInput, Overloaded, StoreClosed
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.embedded.locking import holding, pause
from holdfast.engines.embedded.paging import gathered
from holdfast.engines.sqlite.appended import AppendedKeys
from holdfast.engines.sqlite.failures import Translated
from holdfast.engines.sqlite.statements import (
    FIND,
    HEAD,
    VIEW,
    Row,
    close,
    find,
    record_of,
    rows_of,
)
from holdfast.engines.sqlite.together import page_together, records_together

T = TypeVar("T")

#: How many connections are kept for reading. More threads at once open more for that while.
READERS_KEPT_MAX = 8
#: How many snapshots may be open at once; each holds a connection, thus two file descriptors.
SNAPSHOTS_MAX = 100
#: How often who waits for reads to end looks again.
_LOOK_S = 0.001


class Reader:
    """One connection for reading, used by one thread at a time.

    Attributes:
        away: it is kept for a snapshot, or closed.
        closed: its connection is closed.
        execute: a statement, before whose end there is no other.
        prefix: of appended rows, which stays for good; None: none is known.
    """

    __slots__ = ("__weakref__", "_cursor", "away", "closed", "connection", "execute", "prefix")

    connection: sqlite3.Connection

    def __init__(self) -> None:
        self.away = self.closed = False
        self._cursor: sqlite3.Cursor | None = None
        self.prefix: bytes | None = None

    def attach(self, connection: sqlite3.Connection) -> None:
        """Read through this connection."""
        self.connection = connection
        self._cursor = cursor = connection.cursor()
        self.execute = cursor.execute

    def close(self) -> None:
        """Close its connection, if it has one; twice does nothing."""
        connection = getattr(self, "connection", None)
        if connection is not None:
            self.closed = True
            close(self._cursor, connection)

    def pass_on(self, heir: Reader) -> None:
        """Give the connection to another reader, and have none any more."""
        heir.connection, heir._cursor = self.connection, self._cursor
        heir.execute, heir.prefix = self.execute, self.prefix
        del self.connection
        self._cursor = None

    def __del__(self) -> None:
        # An interrupt came before the caller that took it had it.
        self.close()

    def one(self, key: bytes) -> Record | None:
        """The record of the key."""
        # Only a key with these two bytes can be that of an appended row.
        if key[-12:-10] == b"\0\0":
            row = self.execute(*find(key)).fetchone()
        else:
            row = self.execute(FIND, (key,)).fetchone()
        return None if row is None else record_of(row)

    def many(self, keys: Sequence[bytes]) -> list[Record | None]:
        """The records of the keys, all of one moment."""
        return records_together(self.execute, keys)

    def head(self) -> int:
        """The newest revision of the view."""
        (head,) = self.execute(HEAD).fetchone()
        return int(head)

    def page(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """The first page of the range, with the newest revision of the same moment."""
        page = page_together(self.connection.execute, range, rows_max, bytes_max)
        if page is not None:
            return page
        execute = self.execute
        execute("BEGIN")
        page = self.page_of_view(range, rows_max, bytes_max)
        execute("ROLLBACK")
        return page

    def page_of_view(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """The same inside a transaction."""
        revision, prefix = self.execute(VIEW).fetchone()
        keys = None if prefix is None else AppendedKeys(prefix)
        # An unfinished walk would hold its view of the database.
        with closing(rows_of(self.connection.execute, keys, range, rows_max)) as found:
            rows, full = gathered(found, _made, rows_max, bytes_max)
        return Page(rows, range.after(rows[-1][0]) if full else None, revision)


def _made(some: list[Row]) -> list[tuple[bytes, Record]]:
    return [(key, record_of((value, written))) for key, value, written in some]


class Readers:
    """The connections for reading.

    Args:
        path: for messages.
        connect: makes one more connection.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._idle: list[Reader] = []
        # In use is whatever is neither idle nor away. So one that an interrupt lost between its
        # taking and its giving back counts no longer than it lives.
        self._made: WeakSet[Reader] = WeakSet()
        self._lock = threading.RLock()
        self._frozen = False
        self._closed = False

    def take(self) -> Reader:
        """A reader for this thread's next read; give it back."""
        while not self._frozen:
            try:
                reader = self._idle.pop()
            except IndexError:
                return self._make()
            # No longer idle before this look: who freezes sees the one or this sees the other.
            if not self._frozen:
                return reader
            self._idle.append(reader)
        while self._frozen:
            pause(_LOOK_S)
        return self.take()

    def lend(self, reader: Reader) -> None:
        """A reader is kept for a snapshot, which counts for itself."""
        reader.away = True

    def take_back(self, reader: Reader, *, whole: bool) -> None:
        """A snapshot that kept this reader is closed; whether all its reads came to their end."""
        # As in `take`: who freezes sees the one or this sees the other.
        reader.away = False
        if self._frozen or not whole or reader.closed:
            self.discard(reader)
            return
        try:
            if reader.connection.in_transaction:
                reader.connection.execute("ROLLBACK")
            # The snapshot may be garbage, and this reader with it: its finalizer, which comes
            # before or after that of the snapshot, must find no connection that others use.
            heir = Reader()
            holding(self._lock, lambda: self._made.add(heir))
            reader.pass_on(heir)
            reader.away = True
        except BaseException:
            self.discard(reader)
            raise
        self.give_back(heir)

    def discard(self, reader: Reader) -> None:
        """The read failed or was interrupted, so that it may hold a view."""
        try:
            reader.close()
        finally:
            reader.away = True

    def freeze(self, timeout_s: float) -> bool:
        """Hold up reads and close what is idle, once none is under way; False if one stays."""
        self._frozen = True
        looks = round(timeout_s / _LOOK_S)
        while True:
            self._close_idle()
            if not self._in_use():
                return True
            if not looks:
                self.thaw()
                return False
            looks -= 1
            pause(_LOOK_S)

    def thaw(self) -> None:
        """Reads go on."""
        self._frozen = False

    def give_back(self, reader: Reader) -> None:
        """The read is done and holds no view any more."""
        if self._closed or len(self._idle) >= READERS_KEPT_MAX:
            self.discard(reader)
            return
        self._idle.append(reader)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        self._close_idle()

    def inherited(self) -> list[Reader]:
        """In a forked child: all readers, which are the parent's and are never to be closed."""
        return list(self._made)  # Without the lock, which a thread of the parent may have.

    # --- Inside -----------------------------------------------------------------------------

    def _make(self) -> Reader:
        """One more reader, in use from the beginning."""
        reader = Reader()
        holding(self._lock, lambda: self._made.add(reader))
        if self._frozen:  # As in `take`.
            reader.away = True
            return self.take()
        try:
            with Translated(self._path):
                reader.attach(self._connect())
        except BaseException:
            self.discard(reader)
            raise
        return reader

    def _in_use(self) -> bool:
        """Whether there is a reader in use, or one that just got idle."""
        made = holding(self._lock, lambda: list(self._made))
        return any(not one.away for one in made)

    def _close_idle(self) -> None:
        while self._idle:
            try:
                reader = self._idle.pop()
            except IndexError:
                return  # Another thread took the last one.
            self.discard(reader)


class Newest:
    """The newest revision, asked often: whether anything was committed costs SQLite no look-up.

    Args:
        connection: for this alone; SQLite counts the commits of all others for it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.lock = threading.RLock()
        self._head = 0
        self.attach(connection)

    def attach(self, connection: sqlite3.Connection) -> None:
        """Use this connection from now on."""
        self.connection = connection
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        self._counter: int | None = None
        # The first read also has SQLite make the log, where there is none.
        self._look()

    def head(self) -> int:
        """The newest revision of any process."""
        return holding(self.lock, self._look)

    def close(self) -> None:
        """Let go of the connection."""
        holding(self.lock, lambda: close(self._cursor, self.connection))

    def _look(self) -> int:
        (counter,) = self._execute("PRAGMA data_version").fetchone()
        if counter != self._counter:
            # A commit in between shows in the head and, once more, in the next counter.
            (self._head,) = self._execute(HEAD).fetchone()
            self._counter = counter
        return self._head


class SqliteSnapshot(Snapshot):
    """A read transaction that stays open. Any thread may read through it, one at a time."""

    def __init__(self, snapshots: Snapshots, reader: Reader, revision: int, born: float) -> None:
        self.snapshots = snapshots
        self.revision = revision
        #: When it was taken, by the monotonic clock.
        self.born = born
        self.expired = False
        self._lock = threading.RLock()
        self._reader: Reader | None = reader
        self._whole = True

    @property
    def reader(self) -> Reader:
        """Its connection. Raises StoreClosed once it has none."""
        if self._reader is None:
            if self.expired:
                raise StoreClosed(
                    f"the snapshot of revision {self.revision} was closed, because it was older "
                    "than snapshot_age_max and kept space from being reused; take a new one"
                )
            raise StoreClosed("the snapshot is closed; take a new one")
        return self._reader

    def close(self) -> None:
        if self.snapshots.inherited:
            return  # The parent's: a forked child must not touch the connection.
        holding(self._lock, self._let_go)

    def reading(self, read: Callable[[Reader], T]) -> T:
        """What `read` finds in it."""
        return holding(self._lock, lambda: self._reading(read))

    def _reading(self, read: Callable[[Reader], T]) -> T:
        try:
            return read(self.reader)
        except BaseException:
            # A statement left half-way would hold the view when the transaction is over.
            self._whole = False
            raise

    def _let_go(self) -> None:
        # Taken out first: interrupted in between, it is closed where it is collected.
        reader, self._reader = self._reader, None
        self.snapshots.release(self, reader, whole=self._whole)


class Snapshots:
    """The open snapshots of one database.

    Attributes:
        inherited: they came here by a fork and belong to the parent.
    """

    def __init__(self, readers: Readers, age_max_s: float, monotonic: Callable[[], float]) -> None:
        self._readers = readers
        self._age_max_s = age_max_s
        self._monotonic = monotonic
        self.inherited = False
        # Weak: a view that nobody has any more ends by itself.
        self._open: WeakSet[SqliteSnapshot] = WeakSet()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._open)

    def take(self) -> SqliteSnapshot:
        """A view of this moment."""
        if len(self._open) >= SNAPSHOTS_MAX:
            raise Overloaded(
                f"at most {SNAPSHOTS_MAX} snapshots may be open at once; close some",
                limit=SNAPSHOTS_MAX,
            )
        reader = self._readers.take()
        try:
            reader.connection.execute("BEGIN")
            # The first read is what fixes the view.
            snapshot = SqliteSnapshot(self, reader, reader.head(), self._monotonic())
            holding(self._lock, lambda: self._open.add(snapshot))
        except BaseException:
            self._readers.discard(reader)
            raise
        self._readers.lend(reader)
        return snapshot

    def own(self, snapshot: Snapshot) -> SqliteSnapshot:
        """The snapshot, once it is certain that it is one of these and still good."""
        if not isinstance(snapshot, SqliteSnapshot) or snapshot.snapshots is not self:
            raise InvalidInput("a snapshot is read through the engine that made it")
        self._retire(snapshot)
        return snapshot

    def retire_old(self) -> float | None:
        """Close what is too old; seconds until the next will be, None without any."""
        snapshots = holding(self._lock, lambda: list(self._open))
        for snapshot in snapshots:
            self._retire(snapshot)
        ages = [self._monotonic() - snapshot.born for snapshot in snapshots]
        return max(self._age_max_s - max(ages), 0.0) if ages else None

    def release(self, snapshot: SqliteSnapshot, reader: Reader | None, *, whole: bool) -> None:
        """Let go of a view; its connection serves the next one if all reads came to their end."""
        try:
            if reader is not None:
                self._readers.take_back(reader, whole=whole)
        finally:
            holding(self._lock, lambda: self._open.discard(snapshot))

    def close(self) -> None:
        """Close every snapshot."""
        snapshots = holding(self._lock, lambda: list(self._open))
        for snapshot in snapshots:
            snapshot.close()

    def _retire(self, snapshot: SqliteSnapshot) -> None:
        if not snapshot.expired and self._monotonic() - snapshot.born > self._age_max_s:
            snapshot.expired = True
            snapshot.close()
