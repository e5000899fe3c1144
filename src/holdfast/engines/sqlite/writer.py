"""Writing: the one connection that writes, and its transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

from holdfast.contract.batch import APPEND_BYTES
from holdfast.contract.errors import StorageFull, StoreError, StoreLocked, StoreNotFound
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.group import BATCH_ID_MS, Pending, Writer
from holdfast.engines.sqlite.appended import INDEX_BITS, AppendedKeys, appended_id
from holdfast.engines.sqlite.belonging import NOTE, NOTE_AGAIN
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.failures import DRIVER_ERRORS, Translated, full, translate
from holdfast.engines.sqlite.identity import Identity
from holdfast.engines.sqlite.log import Log
from holdfast.engines.sqlite.room import BALLAST_BYTES, Room, log_of
from holdfast.engines.sqlite.statements import FIND, STATE, close, find, record_of, walk

#: Stands for the start of a machine that gives it no name.
UNNAMED = "unnamed"
#: How often a name is noted, where each note begins another log.
_NOTES_MAX = 3
#: How often the ids of batches that are too old are taken out.
_FORGET_EVERY_MS = 60 * 1000
#: After this many new bytes in the log it is verified that the main file will find room for its
#: growth: meanwhile the log takes room, and the file may have come to need as much.
_VERIFY_ROOM_BYTES = BALLAST_BYTES // 4
#: What a row takes beside its value and, twice, its key.
_ROW_OVERHEAD_BYTES = 32
#: Free pages that stay for deletes, which move rows together, and for the engine's own tables.
_REUSE_KEPT_BYTES = 64 * 1024

_PUT = (
    "INSERT INTO rows (key, value, revision) VALUES (?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision"
)
_DELETE = "DELETE FROM rows WHERE key = ?"
_APPEND = "INSERT OR REPLACE INTO appended VALUES (?, ?)"
_DELETE_APPENDED = "DELETE FROM appended WHERE id = ?"


class Pen:
    """The writing connection, used by one thread at a time, and what its transactions share.

    Args:
        connection: for writing.
        config: of the database.
        log: of the database.
        clock: of the machine.
        machine: names this start of the machine.

    Attributes:
        errors: stands around every call of the driver.
        unverified_bytes: written to the log since it was last verified that the main file can grow.
        forgot_at_ms: when old batch ids were last taken out.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        config: SqliteConfig,
        log: Log,
        clock: Clock,
        machine: str,
    ) -> None:
        self.path = config.path
        self.errors = Translated(config.path)
        self.log = log
        self.room = Room(config.path)
        self.identity = Identity(config.path, clock.monotonic)
        self.now_ms = clock.now_ms
        self.machine = machine
        self.relaxed = config.durability == "relaxed"
        self.unverified_bytes = 0
        self.forgot_at_ms = 0
        self._busy_timeout_ms = round(config.busy_timeout * 1000)
        # The name of the log that was noted last.
        self.noted: str | None = None
        self._closed = False
        self._waits: bool | None = None
        self._keys: AppendedKeys | None = None
        self._use(connection)

    def attach(self, connection: sqlite3.Connection, of_log: sqlite3.Connection) -> None:
        """Use these connections from now on."""
        self._use(connection)
        self.log.attach(of_log)
        self.log.unnoted = True

    def _use(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        # One cursor for all short statements: a new one for each costs a tenth of it.
        self.cursor = connection.cursor()
        self.execute = self.cursor.execute
        self._waits = None

    def note_log(self) -> None:
        """Note the name of the log, which holds a commit, so that another one is told from it.

        Where it cannot be noted now, the next commit tries again.
        """
        statement = NOTE
        try:
            for _ in range(_NOTES_MAX):
                name = self.log.name()
                if name is None or name == self.noted:
                    break
                self.begin(wait=False)
                with self.errors:
                    self.execute(statement, (name, name))
                    self.execute("COMMIT")
                self.noted = name
                # Another process may have moved all pages before: then this began a log itself.
                statement = NOTE_AGAIN
            self.log.unnoted = False
        except StoreError:
            self.roll_back()

    def begin(self, *, wait: bool = True, first: bytes | None = None) -> SqliteWriter:
        """A write transaction.

        Args:
            wait: for the transaction of another process.
            first: the key that it will read first.

        Raises:
            StoreLocked: another process writes, and still does after busy_timeout (`wait`).
        """
        if self.log.failure is not None:
            raise self.log.failure
        self.identity.verify()
        execute = self.execute
        try:
            if wait != self._waits:
                execute(f"PRAGMA busy_timeout={self._busy_timeout_ms if wait else 0}")
                self._waits = wait
            execute("BEGIN IMMEDIATE")
            return SqliteWriter(self, first, *execute(STATE, (first,)).fetchone())
        except BaseException as error:
            self.roll_back()
            if isinstance(error, DRIVER_ERRORS):
                raise translate(error, self.path) from error
            raise

    def keys_of(self, prefix: bytes) -> AppendedKeys:
        """The keys of appended rows; a prefix stays for good."""
        keys = self._keys
        if keys is None or keys.prefix != prefix:
            keys = self._keys = AppendedKeys(prefix)
        return keys

    def roll_back(self) -> None:
        """Undo what is open, if anything is."""
        if self.connection.in_transaction:
            with self.errors:
                self.connection.execute("ROLLBACK")

    def mark(self) -> None:
        """Have the medium say that relaxed commits of this start of the machine may be missing."""
        self._write_meta("UPDATE meta SET unflushed = ?, touched = touched + 1", self.machine)
        self.log.flush()

    def touch(self) -> None:
        """Write a commit that changes nothing.

        The first commit after a checkpoint starts the log afresh, and SQLite then flushes it even
        in relaxed mode. This one takes that upon itself, so that no commit on a loop has to.
        """
        self._write_meta("UPDATE meta SET touched = touched + 1")

    def compact(self) -> None:
        """Write the whole file anew, without gaps."""
        try:
            self.begin()  # Waits for the writer of another process, or says that it is there.
            self.roll_back()
        except BaseException:
            self.roll_back()  # The interrupt of the first.
            raise
        with self.errors:
            self.connection.execute("VACUUM")
        self.log.checkpoint("TRUNCATE")

    def close(self) -> None:
        """Flush, tidy the log away, and let go of the file."""
        try:
            if not self._closed:
                self._tidy()
        finally:
            # After an interrupt too: the next open reads what stays in the log.
            self._closed = True
            self.log.close()
            close(self.cursor, self.connection)
            if not self.identity.lost and not log_of(self.path).exists():
                self.room.remove()  # Nobody else has the database open.

    def _tidy(self) -> None:
        self.roll_back()
        if self.relaxed and self.log.failure is None and not self.identity.lost:
            self.log.flush()
            # While another process writes, or on a full medium, the mark just stays.
            with suppress(StoreLocked, StorageFull, StoreNotFound):
                self._write_meta(
                    "UPDATE meta SET unflushed = NULL WHERE unflushed = ?", self.machine, wait=False
                )
            self.log.flush()
        with suppress(StoreError):  # The next open reads what stays in the log.
            self.log.checkpoint("TRUNCATE")

    def _write_meta(self, statement: str, *parameters: str, wait: bool = True) -> None:
        try:
            self.begin(wait=wait)
            # Commits made before must not be missing where this one is there.
            if self.relaxed:
                self.log.flush()
            with self.errors:
                self.execute(statement, parameters)
                self.execute("COMMIT")
        finally:
            self.roll_back()


class Parts:
    """Rows to write, by what is done with them.

    Attributes:
        puts, deletes: among the rows.
        appended, taken: written to and taken from the table of appended rows, in order.
    """

    __slots__ = ("appended", "deletes", "puts", "taken")

    def __init__(self) -> None:
        self.puts: list[tuple[bytes, bytes, int]] = []
        self.deletes: list[tuple[bytes]] = []
        self.appended: list[tuple[int, bytes]] = []
        self.taken: list[tuple[int]] = []


class SqliteWriter(Writer):
    """One write transaction.

    Attributes:
        marked: the file says already that relaxed commits of this machine's run may be missing.
    """

    __slots__ = (
        "_appended", "_bytes", "_deletes", "_execute", "_first", "_keys", "_pen", "_record",
        "_rows", "_strays", "head", "marked",
    )  # fmt: skip

    def __init__(
        self,
        pen: Pen,
        first: bytes | None,
        head: int,
        last: int | None,
        prefix: bytes | None,
        strays: int,
        unflushed: str | None,
        value: bytes | None,
        revision: int | None,
    ) -> None:
        if last is not None and last >> INDEX_BITS > head:
            head = last >> INDEX_BITS
        self.head = head
        self.marked = unflushed == pen.machine
        self._pen = pen
        self._execute = pen.execute
        self._keys = None if prefix is None else pen.keys_of(prefix)
        self._strays = strays
        # What stands under the first key, until something is written.
        self._first = first
        self._record = None if value is None else record_of((value, revision))
        # The newest revision with an appended row; 0 where one was taken away again.
        self._appended = 0
        self._rows = 0
        self._bytes = 0
        self._deletes = False

    def read(self, key: bytes) -> Record | None:
        # A key that may be that of an appended row is looked for in both tables.
        may_be_appended = key[-12:-10] == b"\0\0"
        if key == self._first and not may_be_appended:
            return self._record
        try:
            if may_be_appended:
                row = self._execute(*find(key)).fetchone()
            else:
                row = self._execute(FIND, (key,)).fetchone()
        except DRIVER_ERRORS as error:
            raise translate(error, self._pen.path) from error
        return None if row is None else record_of(row)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        with (
            self._pen.errors,
            closing(walk(self._pen.connection.execute, self._keys, range)) as found,
        ):
            for key, value, revision in found:
                yield key, record_of((value, revision))

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self._first = None
        parts = Parts()
        puts = parts.puts
        deletes = parts.deletes
        row_bytes = 0
        try:
            for key, (value, revision) in rows:
                if value is not None:
                    row_bytes += 2 * len(key) + len(value) + _ROW_OVERHEAD_BYTES
                # Only a key with these two bytes can be that of an appended row.
                if key[-12:-10] == b"\0\0" and self._belongs(parts, key, value, revision):
                    pass
                elif value is None:
                    deletes.append((key,))
                else:
                    puts.append((key, value, revision))
            self._deletes = self._deletes or bool(deletes) or bool(parts.taken)
            if self._pen.room.scarce and not self._deletes:
                self._claim_room(row_bytes)
            self._rows += len(puts) + len(deletes) + len(parts.taken)
            self._bytes += row_bytes
            self._write(parts)
        except DRIVER_ERRORS as error:
            raise translate(error, self._pen.path) from error

    def _write(self, parts: Parts) -> None:
        executemany = self._pen.cursor.executemany
        if parts.deletes:
            executemany(_DELETE, parts.deletes)
        if parts.puts:
            executemany(_PUT, parts.puts)
        if parts.taken:
            executemany(_DELETE_APPENDED, parts.taken)
            self._appended = 0
        if parts.appended:
            executemany(_APPEND, parts.appended)
            self._appended = parts.appended[-1][0] >> INDEX_BITS

    def _belongs(self, parts: Parts, key: bytes, value: bytes | None, revision: int) -> bool:
        """Whether the row goes to the appended ones alone; it is then among the parts."""
        id = appended_id(key) if self._keys is None else self._keys.id(key)
        if id is None:
            return False
        appends = value is not None and id >> INDEX_BITS == revision
        if self._keys is None:
            if not appends:
                return False
            self._begin_appending(key[:-APPEND_BYTES], parts)
        if not appends:
            parts.taken.append((id,))
            if value is not None and not self._strays:
                self._strays = 1
                self._execute("UPDATE meta SET strays = 1")
            return value is None and not self._strays
        assert value is not None
        parts.appended.append((id, value))
        if self._strays:
            parts.deletes.append((key,))
        return True

    def _begin_appending(self, prefix: bytes, parts: Parts) -> None:
        """Have appended rows with this prefix lie in their table: the first one came."""
        self._keys = AppendedKeys(prefix)
        before = walk(self._pen.connection.execute, None, Range.prefix(prefix), 1)
        self._strays = int(
            next(before, None) is not None
            or any(key.startswith(prefix) for key, _, _ in parts.puts)
        )
        self._execute("UPDATE meta SET prefix = ?, strays = ?", (prefix, self._strays))

    def recall(self, id: bytes) -> int | None:
        with self._pen.errors:
            row = self._execute(
                "SELECT revision FROM batch_ids WHERE id = ? AND at_ms >= ?",
                (id, self._pen.now_ms() - BATCH_ID_MS),
            ).fetchone()
        return None if row is None else int(row[0])

    def remember(self, id: bytes, revision: int) -> None:
        now_ms = self._pen.now_ms()
        with self._pen.errors:
            self._execute(
                "INSERT OR REPLACE INTO batch_ids VALUES (?, ?, ?)", (id, revision, now_ms)
            )
            if abs(now_ms - self._pen.forgot_at_ms) >= _FORGET_EVERY_MS:
                self._execute("DELETE FROM batch_ids WHERE at_ms < ?", (now_ms - BATCH_ID_MS,))
                self._pen.forgot_at_ms = now_ms
        self._rows += 1

    def finish(self, head: int) -> None:
        pen = self._pen
        pages = pen.log.pages_of(self._rows, self._bytes)
        pen.unverified_bytes += pages * pen.log.page_size
        if pen.unverified_bytes >= _VERIFY_ROOM_BYTES:
            self._verify_room()
        marks = pen.relaxed and not self.marked
        with pen.errors:
            if marks:
                self._execute("UPDATE meta SET head = ?, unflushed = ?", (head, pen.machine))
            elif self._appended != head:
                self._execute("UPDATE meta SET head = ?", (head,))
            self._execute("COMMIT")
        pen.log.wrote(pages)
        if marks:
            # The mark must be on the medium before the first commit that it warns of.
            pen.log.flush()
        elif pen.relaxed:
            pen.log.dirty = True
        if pen.room.scarce:
            pen.room.recover()
        if pen.log.unnoted:
            pen.note_log()

    def abandon(self) -> None:
        self._pen.roll_back()

    def _claim_room(self, row_bytes: int) -> None:
        """Refuse new rows while room is scarce, unless deleted ones left enough in the file."""
        with self._pen.errors:
            (free_pages,) = self._execute("PRAGMA freelist_count").fetchone()
            (page_size,) = self._execute("PRAGMA page_size").fetchone()
        reusable = free_pages * page_size - _REUSE_KEPT_BYTES
        if reusable < 2 * row_bytes and not self._pen.room.reserve():
            raise full(self._pen.path, "the reserve for deletes could not be put back")

    def _verify_room(self) -> None:
        """Refuse a commit whose new pages could never leave the log."""
        with self._pen.errors:
            (pages,) = self._execute("PRAGMA page_count").fetchone()
            (page_size,) = self._execute("PRAGMA page_size").fetchone()
        if self._pen.room.fits(pages * page_size):
            self._pen.unverified_bytes = 0
        elif pages > self._pen.log.committed_pages():
            raise full(self._pen.path, f"it would grow to {pages * page_size} bytes")
