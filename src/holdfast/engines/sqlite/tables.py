"""The tables of a database file: how they are made, recognised and connected to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from holdfast.contract.errors import FormatTooNew, StoreNotFound, Unsupported
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.failures import Translated, not_ours

#: "Hold" in ASCII, in the header of the file: tells our files from other SQLite files.
APPLICATION_ID = 0x486F6C64
#: Of the tables below, in the header of the file.
FORMAT_VERSION = 2

#: What SQLite writes before each page in the log.
FRAME_BYTES = 24
#: How many times the size that is wanted of it a log may have before it is cut.
LOG_SLACK = 4

#: Rows lie in order of arrival and the index holds the keys: with values of 1 KB this takes a
#: third of the space of a table in key order, and loads five times as fast.
_TABLES = (
    """CREATE TABLE rows (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL
    )""",
    # id: revision and index of an appended row, see `appended.py`.
    """CREATE TABLE appended (
        id INTEGER PRIMARY KEY,
        value BLOB NOT NULL
    )""",
    # head: the newest revision, unless that of the last appended row is newer.
    # prefix: of the keys of appended rows; none was appended yet: NULL.
    # strays: whether keys that could be those of appended rows lie among the rows.
    # unflushed: since which start of the machine relaxed commits may be missing on the medium.
    # log, log_before: names of the log and of the one noted before it, see `belonging.py`.
    # touched: stepped by writes that only renew the log.
    """CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        head INTEGER NOT NULL,
        prefix BLOB,
        strays INTEGER NOT NULL DEFAULT 0,
        lineage TEXT NOT NULL,
        unflushed TEXT,
        log TEXT NOT NULL,
        log_before TEXT NOT NULL DEFAULT '',
        touched INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE batch_ids (
        id BLOB PRIMARY KEY,
        revision INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX batch_ids_by_age ON batch_ids (at_ms)",
)


def connect(
    config: SqliteConfig, *, writes: bool = False, immutable: bool = False
) -> sqlite3.Connection:
    """A connection to the database, for any thread, one at a time.

    `immutable`: nobody can write the file, so that it is read without locks and without a log.
    """
    mode = "rw"
    if config.read_only:
        mode = "ro&immutable=1" if immutable else "ro"
    elif writes and config.create:
        mode = "rwc"
    connection = _connect(config, mode)
    if writes:
        connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[config.durability]}")
        # Checkpoints are the housekeeping's business: never inside somebody's commit.
        connection.execute("PRAGMA wal_autocheckpoint=0")
        # A log that is written over costs less than one that grows, so it is cut only where it
        # grew far beyond what it is made to gather.
        log_bytes = config.checkpoint_pages * (config.page_size + FRAME_BYTES)
        connection.execute(f"PRAGMA journal_size_limit={LOG_SLACK * log_bytes}")
        # Where fsync does not reach the medium (macOS), SQLite knows the call that does.
        connection.execute("PRAGMA fullfsync=1")
        connection.execute("PRAGMA checkpoint_fullfsync=1")
        # Deleted values are overwritten only by what needs their place.
        connection.execute("PRAGMA secure_delete=0")
    else:
        connection.execute("PRAGMA query_only=1")
    return connection


def connect_to_look(config: SqliteConfig, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that cannot change the database, not even by closing it."""
    return _connect(config, "ro&immutable=1" if immutable else "ro")


#: OFF is not among them: it can damage the file.
_SYNCHRONOUS = {"full": "FULL", "relaxed": "NORMAL"}


def _connect(config: SqliteConfig, mode: str) -> sqlite3.Connection:
    # The URI form is the only one that can refuse to create a file.
    connection = sqlite3.connect(
        f"{config.path.absolute().as_uri()}?mode={mode}",
        timeout=config.busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
        uri=True,
    )
    try:
        connection.execute(f"PRAGMA cache_size={-(config.cache_size // 1024)}")
        connection.execute(f"PRAGMA mmap_size={config.mmap_size}")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, config: SqliteConfig, lineage: str) -> None:
    """Verify that the file is ours, or make it ours when it is new and empty.

    Raises:
        NotADatabase, FormatTooNew, StoreNotFound: it cannot be used; it was not touched.
        Unsupported: an older Holdfast wrote it; it was not touched.
    """
    path = config.path
    if _verify(connection, path):
        return
    if config.read_only or not config.create:
        raise missing(path)
    connection.execute(f"PRAGMA page_size={config.page_size}")
    with Translated(path):
        connection.execute("BEGIN EXCLUSIVE")
        try:
            # Another process may have made the tables meanwhile.
            if not _verify(connection, path):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO meta (head, lineage, log) VALUES (0, ?, ?)", (lineage, lineage)
                )
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def use_log(connection: sqlite3.Connection, path: Path) -> None:
    """Have the file written through a log, so that readers never wait for writers."""
    with Translated(path):
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise Unsupported(
            f"the database {path} needs SQLite's write-ahead log; found journal mode {mode!r}. "
            "The file system has no shared memory; use a local one, or another engine",
            path=str(path),
        )


def alone(connection: sqlite3.Connection) -> bool:
    """Whether no other connection, of any process, has the database open."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        # Leaving the log takes everybody's absence. `use_log` comes back to it.
        (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError:
        return False
    return bool(mode == "delete")


def _verify(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the tables are there; False for an empty file."""
    # Of one moment, because another process may be making them.
    alone = not connection.in_transaction
    with Translated(path):
        try:
            if alone:
                connection.execute("BEGIN")
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            if alone and connection.in_transaction:
                connection.execute("ROLLBACK")
    if application == APPLICATION_ID:
        if version > FORMAT_VERSION:
            raise FormatTooNew(
                f"the database {path} has format {version}; this Holdfast reads up to "
                f"{FORMAT_VERSION}. Use a newer one",
                found=version,
                supported=FORMAT_VERSION,
            )
        if version < FORMAT_VERSION:
            raise Unsupported(
                f"the database {path} has format {version}, which this Holdfast does not read; it "
                f"reads format {FORMAT_VERSION}. Export it with the version of Holdfast that wrote "
                f"it (`holdfast export`), and import that into a new database",
                found=version,
                supported=FORMAT_VERSION,
            )
        return True
    if application or version or tables:
        raise not_ours(path, f"a SQLite file of another program ({tables} tables and indexes)")
    return False


def missing(path: Path) -> StoreNotFound:
    """Nothing lies at the path, and nothing may be made there."""
    return StoreNotFound(
        f"no database at {path}, and the configuration says not to create one; "
        "check the path, or open it without create=false and read_only",
        path=str(path),
    )
