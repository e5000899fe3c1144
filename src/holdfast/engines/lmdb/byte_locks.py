"""Locks on single bytes of a file. The kernel lets go of them when their holder dies.

On Linux a lock belongs to the open file (an open-file-description lock): it stays when the process
opens and closes the same file once more, as a copy of the folder from inside does. Elsewhere it
belongs to the process, and such a copy takes it away.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
import sys

try:
    import fcntl
except ImportError:  # Windows: LMDB's own locks alone.
    fcntl = None  # type: ignore[assignment]

_POINTER_BYTES = 8
_TAKEN = (errno.EACCES, errno.EAGAIN)
#: Kind, whence, start, length, process: the system's `struct flock`, whose layout is known here.
_FLOCK = struct.Struct("hhqqi4x")
_LINUX_64 = sys.platform == "linux" and struct.calcsize("P") == _POINTER_BYTES

#: Whether there are locks at all.
AVAILABLE = fcntl is not None
#: Whether it can be asked who locks a byte.
TELLS_HOLDERS = AVAILABLE and _LINUX_64
#: Whether locks belong to the open file.
OF_OPEN_FILES = TELLS_HOLDERS and hasattr(fcntl, "F_OFD_SETLK")


def try_exclusive(descriptor: int, byte: int, count: int = 1) -> bool:
    """Lock the bytes against everybody, if nobody else locks one of them."""
    try:
        if OF_OPEN_FILES:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _packed(fcntl.F_WRLCK, byte, count))
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, byte)
    except OSError as error:
        return _refused(error)
    return True


def try_shared(descriptor: int, byte: int) -> bool:
    """Lock the byte together with others, if nobody locks it against everybody."""
    try:
        if OF_OPEN_FILES:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _packed(fcntl.F_RDLCK, byte, 1))
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        return _refused(error)
    return True


def unlock(descriptor: int, byte: int) -> None:
    """Let go of the byte; twice does nothing."""
    if OF_OPEN_FILES:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _packed(fcntl.F_UNLCK, byte, 1))
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


class Bytes:
    """Bytes that every commit locks and lets go: what the system is told is made once."""

    __slots__ = ("_at", "_count", "_free", "_take")

    def __init__(self, at: int, count: int = 1) -> None:
        self._at = at
        self._count = count
        self._take = self._free = b""
        if OF_OPEN_FILES:
            self._take = _packed(fcntl.F_WRLCK, at, count)
            self._free = _packed(fcntl.F_UNLCK, at, count)

    def try_exclusive(self, descriptor: int) -> bool:
        """Lock them against everybody, if nobody else locks one of them."""
        if not OF_OPEN_FILES:
            return try_exclusive(descriptor, self._at, self._count)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, self._take)
        except OSError as error:
            return _refused(error)
        return True

    def unlock(self, descriptor: int) -> None:
        """Let go of them; twice does nothing."""
        if OF_OPEN_FILES:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, self._free)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, self._count, self._at)


def try_as_process(descriptor: int, byte: int) -> bool:
    """Lock the byte for this process, not for the open file: a forked child does not have it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        return _refused(error)
    return True


def unlock_as_process(descriptor: int, byte: int) -> None:
    """Let go of a byte that was locked for this process."""
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


def locked_elsewhere(descriptor: int, byte: int) -> bool:
    """Whether another open file locks the byte. Asks where `OF_OPEN_FILES` alone."""
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _packed(fcntl.F_WRLCK, byte, 1))
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def held_elsewhere(descriptor: int) -> bool:
    """Whether another process locks the first byte, as LMDB does while it has a database open."""
    found = fcntl.fcntl(descriptor, fcntl.F_GETLK, _packed(fcntl.F_WRLCK, 0, 1))
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


@functools.lru_cache(maxsize=64)
def _packed(kind: int, byte: int, count: int) -> bytes:
    """A lock as the system reads it; every commit asks for the same three."""
    return _FLOCK.pack(kind, os.SEEK_SET, byte, count, 0)


def _refused(error: OSError) -> bool:
    """False for a lock that another one holds; raises what else went wrong."""
    if error.errno in _TAKEN:
        return False
    raise error
