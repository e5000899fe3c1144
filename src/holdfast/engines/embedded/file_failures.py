"""What the system says about files, in the words of the contract."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.contract.errors import (
    PermissionDenied,
    QuotaExceeded,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreNotFound,
)
from holdfast.contract.files import NO_ROOM

_NO_RIGHT = frozenset((errno.EACCES, errno.EPERM))
_TOO_MANY = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


def translate(error: OSError, directory: Path) -> StoreError:
    """The error of the contract that says what the system's error means."""
    place = str(directory)
    said = f"{errno.errorcode.get(error.errno or 0, error.errno)}: {error.strerror}"
    if error.errno in NO_ROOM:
        return full(directory, said)
    if error.errno == errno.EROFS:
        return ReadOnly(
            f"the database {place} lies on a file system that cannot be written ({said}); open it "
            "with read_only",
            path=place,
        )
    if error.errno in _NO_RIGHT:
        return PermissionDenied(
            f"the database {place} could not be opened ({said}: {error.filename}); check the "
            "rights of the directory and of the files in it",
            path=place,
        )
    if error.errno in _TOO_MANY:
        return QuotaExceeded(
            f"the system gives this process no more files or memory for the database {place} "
            f"({said}); raise the limit (`ulimit -n`), or close something",
            path=place,
        )
    if error.errno == errno.ENOENT:
        return lost(directory, "it is gone")
    return StoreError(
        f"the database {place} failed ({said}); check the medium and the system's log", path=place
    )


@contextmanager
def translated(directory: Path) -> Iterator[None]:
    """Errors of the contract in place of the system's, chained to them."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise translate(error, directory) from error


def full(directory: Path, said: str) -> StorageFull:
    """The medium has no room."""
    return StorageFull(
        f"there is no room to write the database {directory} ({said}); nothing was written, reads "
        "and deletes go on. Make room on the medium, or delete something",
        path=str(directory),
    )


def lost(directory: Path, found: str) -> StoreNotFound:
    """The files were taken away while they are open."""
    return StoreNotFound(
        f"the files of the database at {directory} were removed or replaced while it was open "
        f"({found}), so what is written here would be gone; nothing was written. Close this "
        "handle and open the database again",
        path=str(directory),
    )
