"""What processes that share a database agree on beside LMDB: who is there, and whose turn it is.

One small file, `holdfast.lock`. Its bytes are locked, not read; the kernel lets go of the locks of
a process that dies. Its content is where the processes live that have it open: LMDB tells readers
apart by process id, which means the same only inside one process-id namespace (one container).

    byte 0       the queue: whoever waits for the writer's turn stands here, one at a time
    byte 1       the writer: held while a process writes
    byte 2       presence: shared by every process that has the database open
    byte 3       the door: held while a process opens or compacts
    from 2**32   one byte for each process that acknowledges writes before they are flushed

LMDB's own writer lock still guards the file; the queue adds what that one lacks, a time-out and
turns. A process that reads a copy of this file in the middle of the database's folder loses no
data by it, only its place in the queue.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from holdfast.contract.errors import StoreLocked
from holdfast.engines.embedded import locking
from holdfast.engines.lmdb.files import keep_open, let_close

try:
    import fcntl
except ImportError:  # Windows: LMDB's own locks alone.
    fcntl = None  # type: ignore[assignment]

_QUEUE, _WRITER, _PRESENCE, _DOOR = range(4)
_OWNERS = 1 << 32
#: How long a waiting process sleeps between two looks; the first looks come quickly.
_PAUSE_FIRST_S = 0.0001
_PAUSE_LAST_S = 0.005
_HOME_BYTES_MAX = 256
_POINTER_BYTES = 8

_LOCK_NOW = 0 if fcntl is None else fcntl.LOCK_EX | fcntl.LOCK_NB
_TAKEN = (errno.EACCES, errno.EAGAIN)

#: Whether processes can be told apart here; without it there is no relaxed mode.
AVAILABLE = fcntl is not None


#: Whether it can be asked who locks a file: the answer's layout is known for Linux alone.
TELLS_HOLDERS = sys.platform == "linux" and struct.calcsize("P") == _POINTER_BYTES
_HOLDER = struct.Struct("hhqqi4x")
_FIRST_BYTE = None if fcntl is None else _HOLDER.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)


def held_elsewhere(descriptor: int) -> bool:
    """Whether another process locks the first byte, as LMDB does while it has a database open."""
    assert _FIRST_BYTE is not None
    kind, *_ = _HOLDER.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, _FIRST_BYTE))
    return bool(kind != fcntl.F_UNLCK)


class ProcessLocks:
    """The locks of this process on one database.

    Args:
        path: of the lock file.
        url: of the database, for messages.

    On a read-only file system nobody writes, so there is nothing to agree on and no file.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._url = url
        self._files: list[FileIO] = []
        self._descriptor: int | None = None
        self._path = path

    def open(self) -> None:
        """Open the file."""
        if AVAILABLE:
            try:
                keep_open(self._path, self._files, writable=True)
                self._descriptor = self._files[-1].fileno()
            except OSError as error:
                if error.errno != errno.EROFS:
                    raise

    def close(self) -> None:
        """Let go of everything."""
        self._descriptor = None
        let_close(self._files)

    @contextmanager
    def door(self, timeout_s: float) -> Iterator[None]:
        """Hold the door: no other process opens or compacts the database meanwhile."""
        if self._descriptor is None:
            yield
            return
        if not self._wait(_DOOR, timeout_s):
            raise self._locked("opens or compacts it", timeout_s)
        try:
            yield
        finally:
            self._unlock(_DOOR)

    def enter(self, home: str) -> bool:
        """Be present; True when nobody else is. The door is held.

        Args:
            home: names the process-id namespace that this process lives in.

        Raises:
            StoreLocked: processes of another namespace are present.
        """
        if self._descriptor is None:
            return False
        if self._try(_PRESENCE):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, home.encode(), 0)
            self._share(_PRESENCE)
            return True
        self._share(_PRESENCE)
        there = os.pread(self._descriptor, _HOME_BYTES_MAX, 0).decode(errors="replace")
        if there and there != home:
            self._unlock(_PRESENCE)
            raise StoreLocked(
                f"the database {self._url} is open in another container (process-id namespace "
                f"{there}; this one is {home}), and LMDB cannot tell their processes apart. Use "
                "sqlite for a volume that containers share, or run them with one process-id "
                "namespace",
                found=there,
                here=home,
            )
        return False

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else is present. The door is held."""
        if self._descriptor is None:
            yield not AVAILABLE
            return
        only = self._try(_PRESENCE)
        try:
            yield only
        finally:
            self._share(_PRESENCE)

    def take_turn(self, timeout_s: float) -> None:
        """Become the writer of all processes; waiting ones get their turn one after the other.

        Raises:
            StoreLocked: another process kept its turn for longer than the time.
        """
        if self.try_turn():
            return
        if not self._wait(_QUEUE, timeout_s):
            raise self._locked("writes", timeout_s)
        try:
            if not self._wait(_WRITER, timeout_s):
                raise self._locked("writes", timeout_s)
        finally:
            self._unlock(_QUEUE)

    def try_turn(self) -> bool:
        """Become the writer if nobody else is or waits."""
        descriptor = self._descriptor
        if descriptor is None:
            return True
        try:
            fcntl.lockf(descriptor, _LOCK_NOW, 2, _QUEUE)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _QUEUE)
        return True

    @property
    def awaited(self) -> bool:
        """Whether another process waits for its turn."""
        if self._descriptor is None or not self._try(_QUEUE):
            return self._descriptor is not None
        self._unlock(_QUEUE)
        return False

    def end_turn(self) -> None:
        """Let the next writer in."""
        if self._descriptor is not None:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _WRITER)

    def own(self, owner: int) -> None:
        """Show that this process is alive under the number."""
        self._try(_OWNERS + owner)

    def lives(self, owner: int) -> bool:
        """Whether another process still owns the number."""
        if self._descriptor is None or not self._try(_OWNERS + owner):
            return True
        self._unlock(_OWNERS + owner)
        return False

    # --- Inside -----------------------------------------------------------------------------

    def _try(self, byte: int, count: int = 1) -> bool:
        assert self._descriptor is not None
        try:
            fcntl.lockf(self._descriptor, _LOCK_NOW, count, byte)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        return True

    def _share(self, byte: int) -> None:
        assert self._descriptor is not None
        fcntl.lockf(self._descriptor, fcntl.LOCK_SH, 1, byte)

    def _unlock(self, byte: int) -> None:
        if self._descriptor is not None:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, byte)

    def _wait(self, byte: int, timeout_s: float) -> bool:
        waited, pause = 0.0, _PAUSE_FIRST_S
        while not self._try(byte):
            if waited >= timeout_s:
                return False
            locking.pause(pause)
            waited += pause
            pause = min(pause * 2, _PAUSE_LAST_S)
        return True

    def _locked(self, doing: str, timeout_s: float) -> StoreLocked:
        return StoreLocked(
            f"another process {doing} in the database {self._url} for longer than {timeout_s} s; "
            "try again, or open it with a longer lock_timeout",
            timeout_s=timeout_s,
        )


def home_of_this_process() -> str:
    """The machine's boot and the process-id namespace of this process; '' where there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
