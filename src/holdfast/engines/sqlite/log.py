"""The write-ahead log: flushing it, and moving what it gathered into the main file.

A commit appends pages to the log. In `full` mode SQLite flushes the log in each commit; in
`relaxed` mode the housekeeping does it within the flush interval, by flushing the log file alone.
Moving pages to the main file (a checkpoint) is housekeeping in both modes.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any, Literal

from holdfast.contract.errors import StoreError
from holdfast.engines.embedded.locking import holding
from holdfast.engines.sqlite.belonging import HEADER_BYTES, name_of
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.failures import Translated
from holdfast.engines.sqlite.room import log_of

Mode = Literal["PASSIVE", "RESTART", "TRUNCATE"]


class Log:
    """The log of one open database.

    Args:
        config: of the database.
        connection: for checkpoints alone; it never waits for readers or writers.

    Attributes:
        dirty: a commit was acknowledged and not flushed since.
        moving, flushing: held while the connection, and while the file itself, is in use.
        failure: why flushing failed; from then on nobody can say what the medium holds.
        unnoted: the log may have begun anew since its name was noted.
    """

    def __init__(self, config: SqliteConfig, connection: sqlite3.Connection) -> None:
        self._path = config.path
        self.page_size = config.page_size
        self._pages_max = config.checkpoint_pages
        self._pages = 0
        self.moving = threading.RLock()
        self.flushing = threading.RLock()
        self._file: Descriptor | None = None
        self.dirty = False
        self.unnoted = True
        self.failure: StoreError | None = None
        self.attach(connection)

    def attach(self, connection: sqlite3.Connection) -> None:
        """Use this connection from now on."""
        self._connection = connection
        connection.execute("PRAGMA busy_timeout=0")

    @property
    def full(self) -> bool:
        """Whether a checkpoint is due."""
        return self._pages >= self._pages_max

    def pages_of(self, rows: int, row_bytes: int) -> int:
        """How many pages a commit of that many rows puts into the log, about.

        Appended rows are none of them: they share one page.
        """
        # A row touches a page of the table and one of the index; the head is on one more.
        return 1 + 2 * rows + row_bytes // self.page_size

    def wrote(self, pages: int) -> None:
        """Count what a commit put into the log."""
        self._pages += pages

    def committed_pages(self) -> int:
        """How many pages the database has without the transaction that is open."""
        (pages,) = self._ask("PRAGMA page_count")
        return int(pages)

    def _ask(self, statement: str) -> Any:
        with Translated(self._path):
            return holding(self.moving, lambda: self._connection.execute(statement).fetchone())

    def flush(self) -> None:
        """Have the medium hold every commit up to now."""
        holding(self.flushing, self._flush)

    def _flush(self) -> None:
        # Before the call: what is committed meanwhile counts for the next one.
        self.dirty = False
        try:
            _flush(self._opened().number)
        except OSError as error:
            self.failure = StoreError(
                f"the log of {self._path} could not be flushed ({error.strerror}); acknowledged "
                "writes may be missing on the medium. Close the database, check the medium, and "
                "open it again",
                path=str(self._path),
            )
            raise self.failure from error

    def name(self) -> str | None:
        """The name of the log as it stands in the file; None while it never began."""
        try:
            return name_of(os.pread(self._opened().number, HEADER_BYTES, 0))
        except OSError:
            return None  # Without a name there is nothing to note.

    def _opened(self) -> Descriptor:
        if self._file is None or self._file.closed:
            # SQLite holds no locks on this file, so closing it later does no harm.
            self._file = Descriptor(log_of(self._path))
        return self._file

    def checkpoint(self, mode: Mode = "PASSIVE") -> bool:
        """Move pages to the main file as far as open views allow; whether all were moved.

        Args:
            mode: `RESTART` also keeps other processes from writing for that moment, so that the
                next commit finds nothing behind the moved pages and writes the log over;
                `TRUNCATE` also empties the file.
        """
        busy, pages, moved = self._ask(f"PRAGMA wal_checkpoint({mode})")
        # Where others were in the way it is tried again soon, for the log grows meanwhile.
        self._pages = self._pages_max * 3 // 4 if busy and mode == "RESTART" else 0
        # It may be busy and have moved all: somebody still reads the log.
        moved_all: bool = pages == moved >= 0
        if moved_all:
            self.unnoted = True
        return moved_all

    def close(self) -> None:
        """Let go of the files."""
        holding(self.moving, self._connection.close)
        if self._file is not None:
            self._file.close()
            self._file = None


def _close(file: int) -> int:
    return os.close(file) or -1  # type: ignore[func-returns-value]


class Descriptor:
    """An open file, closed at the latest with the last reference to it."""

    number = -1

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.number < 0

    def close(self) -> None:
        """Close it; again does nothing."""
        if self.number >= 0:
            # On one line, lest an interrupt come between the two.
            self.number = _close(self.number)

    def __del__(self) -> None:
        self.close()


def _flush(file: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def machine_start() -> str | None:
    """A name for this start of the machine; None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
