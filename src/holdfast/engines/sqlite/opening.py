"""Opening and closing a database file: the parts that an open database consists of."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

from holdfast.contract.errors import PermissionDenied, ReadOnly, StorageFull, WrongContext
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.network import refuse_network
from holdfast.engines.sqlite.belonging import verify_log
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.failures import Translated, not_ours
from holdfast.engines.sqlite.identity import File, Identity, file_at
from holdfast.engines.sqlite.log import Log, machine_start
from holdfast.engines.sqlite.readers import Newest, Readers, Snapshots
from holdfast.engines.sqlite.room import log_of, size_of
from holdfast.engines.sqlite.statements import close
from holdfast.engines.sqlite.tables import (
    alone,
    connect,
    connect_to_look,
    missing,
    prepare,
    use_log,
)
from holdfast.engines.sqlite.writer import UNNAMED, Pen

#: What forks brought into this process, and to which files that leads.
_inherited: list[object] = []
_inherited_files: set[File] = set()
#: How long a fork waits for what is being read, or moved out of the log.
FORK_WAIT_S = 1.0


class Opened:
    """The parts of an open database.

    Attributes:
        lineage: that its revisions belong to.
        readers, snapshots, newest: for reading.
    """

    def __init__(
        self,
        config: SqliteConfig,
        components: Components,
        lineage: str,
        pen: Pen | None,
        connect_reader: Callable[[], sqlite3.Connection],
        connect_newest: Callable[[], sqlite3.Connection],
    ) -> None:
        self._config = config
        #: Whether every connection was let go of for good.
        self.closed = False
        self._connect_newest = connect_newest
        self._held = ExitStack()
        self._path = config.path
        self._pen = pen
        self.lineage = lineage
        self.readers = Readers(config.path, connect_reader)
        self.snapshots = Snapshots(
            self.readers, config.snapshot_age_max, components.clock.monotonic
        )
        self.newest = Newest(connect_newest())
        self._identity = (
            Identity(config.path, components.clock.monotonic) if pen is None else pen.identity
        )

    @property
    def pen(self) -> Pen:
        """What writes. Raises ReadOnly when the database was opened for reading."""
        if self._pen is None:
            raise ReadOnly(f"the database {self._path} was opened for reading only")
        return self._pen

    def release(self) -> bool:
        """Let go of every connection until `reconnect`; False while one is in use.

        Nobody writes meanwhile. Waits for what is being read, and for a checkpoint, for some time.
        """
        if len(self.snapshots) or (self._pen is not None and self._pen.connection.in_transaction):
            return False
        if not self._hold_all():
            return False
        try:
            self.newest.close()
            if self._pen is not None:
                close(self._pen.cursor, self._pen.connection)
                self._pen.log.close()
        except BaseException:
            self.reconnect()
            raise
        return True

    def _hold_all(self) -> bool:
        """Keep every connection from being used; False, and nothing is held, while one is."""
        with ExitStack() as undo:
            # Where the file is gone there would be nothing to connect to again.
            if self.replaced or not self.readers.freeze(FORK_WAIT_S):
                return False
            undo.callback(self.readers.thaw)
            if len(self.snapshots):
                return False  # Taken between the first look and the freezing.
            locks = [self.newest.lock]
            if self._pen is not None:
                locks += [self._pen.log.moving, self._pen.log.flushing]
            for lock in locks:
                if not lock.acquire(timeout=FORK_WAIT_S):
                    return False
                undo.callback(lock.release)
            self._held = undo.pop_all()
        return True

    def reconnect(self) -> None:
        """Go on after `release`."""
        try:
            if self._pen is not None:
                self._pen.attach(
                    connect(self._config, writes=True), connect(self._config, writes=True)
                )
            self.newest.attach(self._connect_newest())
            self._identity.renew_log()
        finally:
            self._held.close()

    def inherit(self) -> None:
        """In a forked child: the connections are the parent's."""
        self.snapshots.inherited = True
        keep_for_ever(self.readers.inherited())
        file = self._identity.file
        if file is not None:
            _inherited_files.add(file)

    @property
    def replaced(self) -> bool:
        """Whether the path leads to another file by now, or to none."""
        return self._identity.replaced

    def close(self) -> None:
        """Flush, tidy the log away, and let go of everything, also when interrupted."""
        with ExitStack() as last_first:
            lost = self._pen is not None and self._pen.identity.lost
            if lost:
                # The last connection to close would remove the log by its name, and another
                # database's may lie there now. This one is for reading, so it will not.
                last_first.callback(self.newest.close)
            if self._pen is not None:
                last_first.callback(self._pen.close)
            last_first.callback(self.readers.close)
            if not lost:
                last_first.callback(self.newest.close)
            last_first.callback(self.snapshots.close)
        self.closed = True


def open_database(config: SqliteConfig, components: Components) -> Opened:
    """Open or create the database file. Holds the calling thread while the disk answers."""
    path = config.path
    refuse_network(path.parent)
    try:
        if path.is_dir():
            raise not_ours(path, "a folder")
        if not path.exists():
            if config.read_only or not config.create:
                raise missing(path)
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionDenied(
            f"{path} can neither be looked at nor made ({error.strerror}: {error.filename}); "
            "check the rights of its folders, or give another path",
            path=str(path),
        ) from error
    if file_at(path) in _inherited_files:
        raise WrongContext(
            f"the parent had {path} open and in use when it forked, and SQLite cannot open a file "
            "anew in such a child. Fork while no snapshot is open and no call is under way, close "
            "the database before, or start the child with the method 'spawn' or 'forkserver'"
        )
    verify_log(config)
    with Translated(path):
        if config.read_only:
            return _open_to_read(config, components)
        return _open_to_write(config, components)


def _open_to_write(config: SqliteConfig, components: Components) -> Opened:
    with ExitStack() as undo:
        connection = connect(config, writes=True)
        undo.callback(connection.close)
        prepare(connection, config, components.ids.new().hex())
        machine = machine_start()
        restarted = machine is None and alone(connection)
        use_log(connection, config.path)
        log = Log(config, connect(config, writes=True))
        undo.callback(log.close)
        pen = Pen(connection, config, log, components.clock, machine or UNNAMED)
        lineage = _settle_lineage(pen, components, restarted=restarted)
        pen.room.reserve()
        opened = Opened(
            config,
            components,
            lineage,
            pen,
            lambda: connect(config),
            lambda: connect_to_look(config),
        )
        undo.pop_all()
    return opened


def _open_to_read(config: SqliteConfig, components: Components) -> Opened:
    immutable = False
    try:
        lineage = _look(config, immutable=False)
    except (PermissionDenied, ReadOnly):
        # SQLite wants to make its log's index even to read. Where nobody here can write, and no
        # log waits to be read, the main file alone is the whole database.
        if size_of(log_of(config.path)) or os.access(config.path.parent, os.W_OK):
            raise
        immutable = True
        lineage = _look(config, immutable=True)
    return Opened(
        config,
        components,
        lineage,
        None,
        lambda: connect(config, immutable=immutable),
        lambda: connect(config, immutable=immutable),
    )


def _look(config: SqliteConfig, *, immutable: bool) -> str:
    """Verify a file that is only read; its lineage."""
    with Translated(config.path), closing(connect(config, immutable=immutable)) as connection:
        prepare(connection, config, "")
        (lineage,) = connection.execute("SELECT lineage FROM meta").fetchone()
    return str(lineage)


def _settle_lineage(pen: Pen, components: Components, *, restarted: bool) -> str:
    """The lineage of the database: a new one if acknowledged commits may have been lost.

    A mark in the file names the start of the machine since which relaxed commits were made. When
    the machine was started again (`restarted`, or another name) and nobody took the mark away by
    closing, some of them may not have reached the medium.
    """
    execute = pen.connection.execute
    writer = pen.begin()
    try:
        lineage, unflushed = execute("SELECT lineage, unflushed FROM meta").fetchone()
        if unflushed is not None and (restarted or unflushed != pen.machine):
            lineage = components.ids.new().hex()
            execute("UPDATE meta SET lineage = ?, unflushed = NULL", (lineage,))
            execute("COMMIT")
            pen.log.flush()
    finally:
        writer.abandon()
    if pen.relaxed:
        # On a full medium the first commit that finds room marks.
        with suppress(StorageFull):
            pen.mark()
    return str(lineage)


def keep_for_ever(inherited: object) -> None:
    """Keep what a fork brought here from being taken away, even when the interpreter ends.

    SQLite would close the connections that hang on it, in a process that never opened them, and
    could then tidy away the log that the parent still writes.
    """
    _inherited.append(inherited)
    with suppress(ImportError):
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
