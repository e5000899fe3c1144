"""What SQLite says, in the words of the contract. The one place that knows its error codes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType

from holdfast.contract.errors import (
    IntegrityFailed,
    InvalidKey,
    NotADatabase,
    PermissionDenied,
    QuotaExceeded,
    ReadOnly,
    StorageFull,
    StoreClosed,
    StoreError,
    StoreLocked,
    StoreNotFound,
    ValueTooLarge,
)
from holdfast.engines.sqlite.room import no_room

#: The low byte of an extended result code is the primary one.
_PRIMARY = 0xFF


class Translated:
    """A block that raises errors of the contract in place of the driver's, chained to them.

    Args:
        path: of the database, for messages.
    """

    # A class, because a generator as context manager costs as much as a look-up of SQLite.
    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, DRIVER_ERRORS):
            raise translate(error, self._path) from error


#: What a call of the driver may raise: memory that is refused is no error of SQLite's to it.
DRIVER_ERRORS = (sqlite3.Error, MemoryError)


def translate(error: sqlite3.Error | MemoryError, path: Path) -> StoreError:  # noqa: C901, PLR0912 - one table
    """The error of the contract that says what the driver's error means."""
    if isinstance(error, MemoryError):
        return QuotaExceeded(
            f"the system gives this process no more memory for the database {path}; nothing was "
            "written. Raise the limit (`ulimit -v`, or that of the container), or make cache_size, "
            "mmap_size or the batch smaller",
            path=str(path),
        )
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Raised by the driver itself before SQLite was asked.
        if "closed" in str(error):
            return StoreClosed(f"the database {path} is closed; open it again ({error})")
        return StoreError(f"the driver refuses what it was given for {path} ({error})")
    said = f"{getattr(error, 'sqlite_errorname', code)}: {error}"
    match code & _PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(
                f"the database {path} stayed locked by another process or connection ({said}); "
                "try again, or raise busy_timeout",
                path=str(path),
            )
        case sqlite3.SQLITE_FULL:
            return full(path, said)
        case sqlite3.SQLITE_IOERR if no_room(path):
            return full(path, said)
        case sqlite3.SQLITE_CORRUPT:
            return IntegrityFailed(
                f"the database {path} is damaged ({said}); restore a backup", path=str(path)
            )
        case sqlite3.SQLITE_NOTADB:
            return not_ours(path, f"no SQLite file, or a damaged one ({said})")
        case sqlite3.SQLITE_READONLY:
            return ReadOnly(
                f"the database {path} cannot be written ({said}); check the rights of the file "
                "and of its folder, or open it with read_only",
                path=str(path),
            )
        case sqlite3.SQLITE_CANTOPEN if not path.parent.is_dir():
            return StoreNotFound(
                f"the folder {path.parent} does not exist; make it first", path=str(path)
            )
        case sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH | sqlite3.SQLITE_CANTOPEN:
            return PermissionDenied(
                f"the database {path} could not be opened ({said}); check the rights of the file "
                "and of its folder, and the limit of open files",
                path=str(path),
            )
        case sqlite3.SQLITE_TOOBIG:
            return ValueTooLarge(f"SQLite refuses a value of this size ({said})")
        case _:
            return StoreError(
                f"the database {path} failed ({said}); check the medium and the system's log",
                path=str(path),
            )


def told(error: BaseException, path: Path) -> BaseException:
    """What a caller is told when a call of the driver ended with this error."""
    if isinstance(error, DRIVER_ERRORS):
        return translate(error, path)
    if isinstance(error, TypeError):
        return InvalidKey(f"a key is bytes ({error})")
    return error


def full(path: Path, said: str) -> StorageFull:
    """The medium has no room."""
    return StorageFull(
        f"there is no room to write the database {path} ({said}); reads and deletes go on. "
        "Make room on the medium, or delete something",
        path=str(path),
    )


def not_ours(path: Path, found: str) -> NotADatabase:
    """Something else lies at the path."""
    return NotADatabase(
        f"a Holdfast database was expected at {path}; found {found}. Give another path",
        path=str(path),
    )
