"""The directory of a database: what lies in it, whether it may be there, and its ballast.

data.mdb        LMDB's file
lock.mdb        LMDB's table of readers
holdfast.lock   see `locks.py`
ballast         disk space kept aside for deletes
journal         see `journal_format.py`
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from holdfast.contract.errors import NotADatabase
from holdfast.contract.files import NO_ROOM, flush_directory

try:
    import resource
except ImportError:  # Windows: files are as large as the disk.
    resource = None  # type: ignore[assignment]

_COMPACTING = "data.mdb.compact"
_FILES = frozenset(("data.mdb", "lock.mdb", "holdfast.lock", "ballast", "journal", _COMPACTING))
#: Room beyond the ballast itself that must be free before it is made again.
_BALLAST_MARGIN = 4


class Place:
    """Where one database lies.

    Attributes:
        directory: made absolute.
    """

    def __init__(self, path: Path) -> None:
        self.directory = path.absolute()
        self.file = self.directory / "data.mdb"
        self.readers_file = self.directory / "lock.mdb"
        self.lock_file = self.directory / "holdfast.lock"
        self.ballast = self.directory / "ballast"
        self.journal = self.directory / "journal"
        self.compacting = self.directory / _COMPACTING

    def identity(self) -> tuple[int, int] | None:
        """Which file the data file is; None when there is none."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def refuse_foreign(self) -> None:
        """Raise NotADatabase where something else lies."""
        if not os.path.lexists(self.directory):
            return
        if not self.directory.is_dir():
            raise NotADatabase(
                f"{self.directory} is a file, and an LMDB database is a directory; "
                "point the URL at another path"
            )
        if not self.file.exists():
            foreign = sorted(path.name for path in self.directory.iterdir())
            foreign = [name for name in foreign if name not in _FILES]
            if foreign:
                raise NotADatabase(
                    f"the directory {self.directory} holds other files ({foreign[0]!r} and so "
                    "on) and no database; point the URL at a new or empty one"
                )

    def make(self) -> None:
        """Make the directory, for its owner alone, and make sure that it survives a crash."""
        if not self.directory.exists():
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.directory.mkdir(mode=0o700)
            flush_directory(self.directory.parent)

    def room_bytes(self) -> int:
        """What the file system would still take; nothing where the directory is gone."""
        try:
            return shutil.disk_usage(self.directory).free
        except FileNotFoundError:
            return 0

    def make_ballast(self, size: int) -> None:
        """Set disk space aside, or more of it, where there is plenty left."""
        there = self.ballast.stat().st_size if self.ballast.exists() else 0
        if there < size and self.room_bytes() >= size * _BALLAST_MARGIN:
            self._fill_ballast(size)

    def release_ballast(self) -> bool:
        """Give the disk space back; whether there was any."""
        try:
            self.ballast.unlink()
        except FileNotFoundError:
            return False
        return True

    def restore_ballast(self, size: int) -> None:
        """Set aside again what is left of a ballast just released, before others take it."""
        left = min(size, self.room_bytes())
        if left > 0:
            self._fill_ballast(left)

    def swap_in_compacted(self) -> None:
        """Put the compacted copy in the place of the data file; a crash leaves either of them."""
        descriptor = os.open(self.compacting, os.O_RDWR)
        try:
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # The table of readers belongs to the old file; LMDB makes a new one.
        self.readers_file.unlink()
        self.compacting.replace(self.file)
        flush_directory(self.directory)

    def _fill_ballast(self, size: int) -> None:
        try:
            with open(self.ballast, "ab", opener=_private) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(b"\0" * (size - file.tell()))
        except OSError as error:
            with suppress(FileNotFoundError):
                self.ballast.unlink()
            if error.errno not in NO_ROOM:
                raise


def file_bytes_max() -> int | None:
    """The largest file that this process may make, if that is limited."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
