"""Room on the medium: told before it is promised, and a reserve so that deletes can run.

SQLite writes a commit to its log first and moves it to the main file later. A commit that fits
into the log but whose new pages do not fit into the main file would leave both stuck, so growth
is checked before the commit. On a medium that is full nevertheless, a reserve file (the ballast)
is emptied: what it held is enough for deletes, whose pages then serve the next writes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

#: What the ballast reserves: several hundred pages, thus dozens of deletes between checkpoints.
BALLAST_BYTES = 2**20
#: A medium with less than this counts as full when a write failed for an unclear reason.
_NEARLY_FULL_BYTES = 256 * 2**10


def no_room(path: Path) -> bool:
    """Whether the medium, or the size that this process may give a file, is used up."""
    if medium_bytes(path.parent) < _NEARLY_FULL_BYTES:
        return True
    limit = file_bytes_max()
    if limit is None:
        return False
    grown = max(size_of(path), size_of(log_of(path)))
    return grown + _NEARLY_FULL_BYTES > limit


def medium_bytes(folder: Path) -> int:
    """How many bytes the medium still takes."""
    if not hasattr(os, "statvfs"):
        import shutil

        return shutil.disk_usage(folder).free
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def file_bytes_max() -> int | None:
    """The size that this process may give a file, where the system limits it."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def log_of(path: Path) -> Path:
    """The write-ahead log beside a database."""
    return path.with_name(path.name + "-wal")


def size_of(path: Path) -> int:
    """Bytes in the file; 0 when there is none. Never opens it: closing would drop locks."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Room:
    """The room of one database.

    Attributes:
        scarce: the ballast was given up; only what deletes something may be written until it
            could be put back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ballast = path.with_name(path.name + "-ballast")
        self.scarce = False

    def reserve(self) -> bool:
        """Fill the ballast; False when there is no room for it."""
        if size_of(self._ballast) < BALLAST_BYTES:
            try:
                with self._ballast.open("wb") as file:
                    file.write(bytes(BALLAST_BYTES))
            except OSError:
                self.release()
                return False
        self.scarce = False
        return True

    def recover(self) -> None:
        """Fill the ballast again once the medium has room for much more than that."""
        if medium_bytes(self._path.parent) > 4 * BALLAST_BYTES:
            self.reserve()

    def release(self) -> None:
        """Empty the ballast."""
        self.scarce = True
        try:
            if self._ballast.exists():
                os.truncate(self._ballast, 0)
        except OSError:
            # The medium refuses even this; what called has an error to tell already.
            return

    def remove(self) -> None:
        """Take the ballast away, at close."""
        self._ballast.unlink(missing_ok=True)

    def fits(self, database_bytes: int) -> bool:
        """Whether the main file could grow to that size.

        Asked now and then only: what is written in between, the ballast has to make up for, or
        where a limit of file sizes is the reason, half of its size below that limit.
        """
        growth = database_bytes - size_of(self._path)
        if growth <= 0:
            return True
        limit = file_bytes_max()
        if limit is not None and database_bytes + BALLAST_BYTES // 2 > limit:
            return False
        return growth <= medium_bytes(self._path.parent)
