"""Files that stay open as long as a database does.

They are objects, because those close once whatever interrupts them. And they are known here,
because the collector may end an object that only garbage knows before the engine of that garbage,
which still needs it to close.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

_open: set[FileIO] = set()


def keep_open(path: Path, kept: list[FileIO], *, writable: bool) -> None:
    """Open the file and append it to `kept`, at once, so that an interrupt finds it to close.

    It stays open until `let_close`; a writable one is made where there is none.
    """
    kept.append(_opened(path, writable=writable))
    _open.add(kept[-1])


def let_close(kept: list[FileIO]) -> None:
    """Close the files; twice does nothing."""
    for file in kept:
        file.close()
    _open.difference_update(kept)
    kept.clear()


def _opened(path: Path, *, writable: bool) -> FileIO:
    if not writable:
        return path.open("rb", buffering=0)
    return open(path, "r+b", buffering=0, opener=_private)


def _private(path: str, _flags: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
