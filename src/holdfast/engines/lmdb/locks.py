"""What processes that share a database agree on beside LMDB: who is there, and whose turn it is.

One small file, `holdfast.lock`. Its bytes are locked (`byte_locks.py`), not read. Its content is
where the processes live that have it open: LMDB tells readers apart by process id, which means the
same only inside one process-id namespace (one container).

    byte 0       the queue: whoever waits for the writer's turn stands here, one at a time
    byte 1       the writer: held while a process writes
    byte 2       presence: shared by every process that has the database open; a process that has
                 commits in its journal which LMDB lacks holds it alone
    byte 3       the door: held while a process opens or compacts
    from 2**32   one byte for each process that acknowledges writes before they are flushed

LMDB's own writer lock still guards the file; the queue adds what that one lacks, a time-out and
turns. Where locks belong to processes (not on Linux), a process that reads a copy of this file in
the middle of the database's folder loses no data by it, only its place in the queue.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from holdfast.contract.errors import StoreLocked
from holdfast.engines.embedded import locking
from holdfast.engines.lmdb import byte_locks
from holdfast.engines.lmdb.files import keep_open, let_close

_QUEUE, _WRITER, _PRESENCE, _DOOR = range(4)
_OWNERS = 1 << 32
_QUEUE_BYTE, _WRITER_BYTE = byte_locks.Bytes(_QUEUE), byte_locks.Bytes(_WRITER)
#: Both: who gets them at once neither waits nor stands in the way of who waits.
_TURN = byte_locks.Bytes(_QUEUE, 2)
#: How long a waiting process sleeps between two looks; the first looks come quickly.
_PAUSE_FIRST_S = 0.0001
_PAUSE_LAST_S = 0.005
_HOME_BYTES_MAX = 256


class ProcessLocks:
    """The locks of this process on one database.

    Args:
        path: of the lock file.
        url: of the database, for messages.

    On a read-only file system nobody writes: the file is read if there is one, so that a process
    elsewhere that writes to the same folder learns that somebody is here.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._url = url
        self._files: list[FileIO] = []
        self._descriptor: int | None = None
        self._writable = True
        self._path = path

    def open(self) -> None:
        """Open the file."""
        if not byte_locks.AVAILABLE:
            return
        try:
            keep_open(self._path, self._files, writable=True)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            self._writable = False
            if not self._path.exists():
                return
            keep_open(self._path, self._files, writable=False)
        self._descriptor = self._files[-1].fileno()

    def close(self) -> None:
        """Let go of everything."""
        self._descriptor = None
        let_close(self._files)

    @contextmanager
    def door(self, timeout_s: float) -> Iterator[None]:
        """Hold the door: no other process opens or compacts the database meanwhile."""
        descriptor = self._descriptor
        if descriptor is None:
            yield
            return
        take = byte_locks.try_exclusive if self._writable else byte_locks.try_shared
        if not self._wait(lambda: take(descriptor, _DOOR), timeout_s):
            raise self._locked("opens or compacts it", timeout_s)
        try:
            yield
        finally:
            self._unlock(_DOOR)

    def enter(self, home: str, timeout_s: float) -> bool:
        """Be present; True when nobody else is. The door is held.

        A process that has the database to itself sees the door held, and makes room.

        Args:
            home: names the process-id namespace that this process lives in.
            timeout_s: how long to wait for that.

        Raises:
            StoreLocked: processes of another namespace are present, or one made no room.
        """
        descriptor = self._descriptor
        if descriptor is None:
            return False
        alone = self._writable and self._try(_PRESENCE)
        if alone:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, home.encode(), 0)
        if not self._wait(lambda: byte_locks.try_shared(descriptor, _PRESENCE), timeout_s):
            raise self._locked("has commits in its journal and makes no room", timeout_s)
        if alone or not self._writable:
            return alone
        there = os.pread(descriptor, _HOME_BYTES_MAX, 0).decode(errors="replace")
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
            yield not byte_locks.AVAILABLE
            return
        only = self.claim()
        try:
            yield only
        finally:
            self.unclaim()

    def claim(self) -> bool:
        """Have the database to oneself, if nobody else is present."""
        return self._descriptor is not None and self._try(_PRESENCE)

    def unclaim(self) -> None:
        """Be present like everybody else; twice does nothing."""
        if self._descriptor is not None:
            byte_locks.try_shared(self._descriptor, _PRESENCE)

    @property
    def knocked(self) -> bool:
        """Whether another process stands at the door."""
        return self._descriptor is not None and byte_locks.locked_elsewhere(self._descriptor, _DOOR)

    def take_turn(self, timeout_s: float) -> None:
        """Become the writer of all processes; waiting ones get their turn one after the other.

        Raises:
            StoreLocked: another process kept its turn for longer than the time.
        """
        if self.try_turn():
            return
        if not self._wait(lambda: self._try(_QUEUE), timeout_s):
            raise self._locked("writes", timeout_s)
        try:
            if not self._wait(lambda: self._try(_WRITER), timeout_s):
                raise self._locked("writes", timeout_s)
        finally:
            self._unlock(_QUEUE)

    def try_turn(self) -> bool:
        """Become the writer if nobody else is or waits."""
        descriptor = self._descriptor
        if descriptor is None:
            return True
        if not _TURN.try_exclusive(descriptor):
            return False
        _QUEUE_BYTE.unlock(descriptor)
        return True

    @property
    def awaited(self) -> bool:
        """Whether another process waits for its turn."""
        if self._descriptor is None or not self._try(_QUEUE):
            return self._descriptor is not None
        self._unlock(_QUEUE)
        return False

    def end_turn(self) -> None:
        """Let the next writer in; twice does nothing."""
        if self._descriptor is not None:
            _WRITER_BYTE.unlock(self._descriptor)

    def own(self, owner: int) -> None:
        """Show that this process is alive under the number."""
        assert self._descriptor is not None
        byte_locks.try_as_process(self._descriptor, _OWNERS + owner)

    def lives(self, owner: int) -> bool:
        """Whether another process still owns the number."""
        descriptor = self._descriptor
        if descriptor is None or not self._writable:
            return True
        if not byte_locks.try_as_process(descriptor, _OWNERS + owner):
            return True
        byte_locks.unlock_as_process(descriptor, _OWNERS + owner)
        return False

    # --- Inside -----------------------------------------------------------------------------

    def _try(self, byte: int) -> bool:
        assert self._descriptor is not None
        return byte_locks.try_exclusive(self._descriptor, byte)

    def _unlock(self, byte: int) -> None:
        if self._descriptor is not None:
            byte_locks.unlock(self._descriptor, byte)

    def _wait(self, attempt: Callable[[], bool], timeout_s: float) -> bool:
        waited, pause = 0.0, _PAUSE_FIRST_S
        while not attempt():
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
