"""Writing a file of results: whole or not at all where it is a file, straight through elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from holdfast.contract.runtime import SystemClock, SystemIds


@contextmanager
def written(output: Path) -> Iterator[TextIO]:
    """A stream to `output`, which changes only when all was written.

    A regular file is replaced by one written beside it, with its mode and, where this user may,
    its owner; a symbolic link goes on leading to it. A FIFO, a device or a socket of the system
    cannot be replaced and is written to.
    """
    place = output.resolve()
    try:
        before = place.stat()
    except FileNotFoundError:
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with place.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    # A name that nobody else has, nor the same process number elsewhere on a shared disk. That of
    # the output stays out of it: a long one would leave no room for an ending.
    partial = place.with_name(f"holdfast-{SystemIds(SystemClock()).new().hex()}.partial")
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as stream:
            if before is not None:
                _like(before, partial)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def _like(before: os.stat_result, partial: Path) -> None:
    """Give the new file what the old one has, before anything stands in it."""
    made = partial.stat()
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        with suppress(PermissionError):
            os.chown(partial, before.st_uid, before.st_gid)
    partial.chmod(stat.S_IMODE(before.st_mode))
