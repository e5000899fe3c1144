"""What all who write files ask of a file system, and how it says no."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: The numbers of a system's errors that mean: there is no room.
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def flush_directory(directory: Path) -> None:
    """Make sure that names just made in the directory are still there after a crash."""
    if os.name != "posix":
        return  # Elsewhere directories are not opened.
    opened = _Directory(directory)
    try:
        os.fsync(opened.number)
    finally:
        opened.close()


class _Directory:
    """A directory, open; it closes with the last reference to it, whatever interrupts the call."""

    number = -1

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        if self.number >= 0:
            # On one line, lest an interrupt come between the two.
            self.number = _close(self.number)

    def __del__(self) -> None:
        self.close()


def _close(number: int) -> int:
    return os.close(number) or -1  # type: ignore[func-returns-value]
