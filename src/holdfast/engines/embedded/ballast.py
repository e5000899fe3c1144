"""Disk space kept aside, so that deletes still work when the medium is full."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from holdfast.contract.files import NO_ROOM

#: Room beyond the ballast itself that must be free before it is made again.
_MARGIN = 4


class Ballast:
    """A file that takes the space until it is needed.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def room_bytes(self) -> int:
        """What the file system would still take; nothing where the directory is gone."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except FileNotFoundError:
            return 0

    def make(self, size: int, *, margin: int = _MARGIN) -> bool:
        """Set disk space aside, where so many times as much is left; whether it is there."""
        there = self.path.stat().st_size if self.path.exists() else 0
        if there >= size:
            return True
        if self.room_bytes() < size * margin:
            return False
        try:
            with open(self.path, "ab", buffering=0, opener=_private) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size - there))
        except OSError as error:
            self.release()
            if error.errno not in NO_ROOM:
                raise
            return False
        return True

    def release(self) -> bool:
        """Give the disk space back; whether there was any."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
