"""Whether a log that lies beside a database file belongs to it.

SQLite takes any log of the right name for that of the file and moves its pages there. Beside a file
that was restored from a backup, or put there from elsewhere, this would mix two databases.

Each log has a name: the two random numbers (salts) in its header, which change whenever it begins
anew. A short commit behind the first one of a log notes it in `meta`, together with the name noted
before, which is the one that the file has. So the file alone knows one of the two: the new one if
pages of this log were moved already, else the one before.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from holdfast.contract.errors import IntegrityFailed
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.room import log_of, size_of
from holdfast.engines.sqlite.tables import FORMAT_VERSION, connect_to_look

#: Where the salts stand in the header of a log, and how long the header is.
SALTS = slice(16, 24)
HEADER_BYTES = 32
#: To be written where the name of the log is not the noted one.
NOTE = "UPDATE meta SET log_before = log, log = ? WHERE log != ?"
#: The same where the log began anew with the note itself: the file has what it had before that.
NOTE_AGAIN = "UPDATE meta SET log = ? WHERE log != ?"

#: How often a file that changes meanwhile is looked at.
_LOOKS_MAX = 5


def name_of(header: bytes) -> str | None:
    """The name of the log that begins with these bytes; None for one that never began."""
    salts = header[SALTS]
    return salts.hex() if len(header) >= HEADER_BYTES and any(salts) else None


def verify_log(config: SqliteConfig) -> None:
    """Raise IntegrityFailed if another database's log lies beside the file. Changes nothing."""
    path = config.path
    if not size_of(log_of(path)):
        return
    for _ in range(_LOOKS_MAX):
        before = _noted_in_file(config)
        together = _noted_together(config)
        if before is None:
            return  # No database of ours, or none that can be looked at: opening it will tell.
        if together is not None and before in together:
            return
        if before == _noted_in_file(config):
            # Nobody moves pages into it, so it was so while the log was looked at.
            raise _foreign(path)


def _noted_in_file(config: SqliteConfig) -> str | None:
    """The name of the log that the file knows by itself."""
    try:
        with closing(connect_to_look(config, immutable=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != FORMAT_VERSION:
                return None
            (log,) = connection.execute("SELECT log FROM meta").fetchone()
    except (sqlite3.Error, TypeError):
        return None
    return str(log)


def _noted_together(config: SqliteConfig) -> tuple[str, str] | None:
    """The names that file and log know together; None if they cannot be read so."""
    try:
        with closing(connect_to_look(config)) as connection:
            log, before = connection.execute("SELECT log, log_before FROM meta").fetchone()
    except (sqlite3.DatabaseError, TypeError) as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) in _DAMAGE:
            return None
        return (known, known) if (known := _noted_in_file(config)) is not None else None
    return str(log), str(before)


#: What a page of another database looks like to SQLite.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _foreign(path: Path) -> IntegrityFailed:
    log = log_of(path)
    return IntegrityFailed(
        f"the log {log} does not belong to the database {path}: one of them was put there or "
        f"restored without the other. Nothing was changed. To open {path.name} as it is, move "
        f"{log.name} and {path.name}-shm away; to keep what the log holds, put the file back that "
        "lay beside it",
        path=str(path),
        log=str(log),
    )
