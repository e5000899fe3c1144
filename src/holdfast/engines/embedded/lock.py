"""One process writes, or several read: the lock of a database that processes do not share.

The lock is the system's (`flock` on the file `lock`) and ends with the process that has it, however
that ends. Whoever writes says in the file who it is, for those that are refused.

A child inherits the open file and would keep the lock for as long as it lives, so it closes it
right after the fork; the parent's lock stays.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

import orjson

from holdfast.contract.errors import StoreLocked, Unsupported
from holdfast.engines.embedded.locking import pause
from holdfast.engines.embedded.open_file import OpenFile, keep, let_close

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None  # type: ignore[assignment]

_PAUSE_S = 0.005
_SAID_BYTES_MAX = 1000
_LOCKS = Path("/proc/locks")


class Lock:
    """The lock of this process on one database.

    Args:
        path: of the lock file.
        engine: its name, for messages.
        writes: whether to exclude everybody else, or only who writes.
    """

    def __init__(self, path: Path, engine: str, *, writes: bool) -> None:
        self._path = path
        self._engine = engine
        self._writes = writes
        self._file: OpenFile | None = None

    @property
    def file(self) -> OpenFile | None:
        """The lock file, open; None where nothing is locked."""
        return self._file

    def take(self, timeout_s: float, now_ms: int) -> None:
        """Take the lock.

        Args:
            timeout_s: how long to wait for the holder.
            now_ms: the instant to tell others.

        Raises:
            StoreLocked: another process has the database open, or another engine of this one.
        """
        if fcntl is None:
            raise Unsupported(
                f"the engine {self._engine} needs file locks, which this system lacks, so that two "
                "processes do not write one database; use sqlite",
                engine=self._engine,
            )
        try:
            self._file = OpenFile(self._path, "r+b" if self._writes else "rb", opener=_private)
        except FileNotFoundError:
            if self._writes:
                raise
            return  # Nothing was written here yet: the first writer makes it.
        keep(self._file)
        waited = 0.0
        while not self._try():
            if waited >= timeout_s:
                raise self._refusal(timeout_s)
            pause(_PAUSE_S)
            waited += _PAUSE_S
        if self._writes:
            self._say(now_ms)

    def close(self) -> None:
        """Let go of the lock; twice does nothing. In a child: of what it inherited of it."""
        if self._file is not None:
            let_close(self._file)

    # --- Inside -----------------------------------------------------------------------------

    def _try(self) -> bool:
        assert self._file is not None
        kind = fcntl.LOCK_EX if self._writes else fcntl.LOCK_SH
        try:
            fcntl.flock(self._file.fileno(), kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _say(self, now_ms: int) -> None:
        assert self._file is not None
        said = {"process": os.getpid(), "machine": platform.node(), "since_ms": now_ms}
        with suppress(OSError):  # On a full medium nobody is told; the lock holds.
            os.ftruncate(self._file.fileno(), 0)
            os.pwrite(self._file.fileno(), orjson.dumps(said) + b"\n", 0)

    def _refusal(self, timeout_s: float) -> StoreLocked:
        directory = self._path.parent
        holder = self._holder()
        if holder == f"process {os.getpid()}":
            holder = "another engine of this very process"
        return StoreLocked(
            f"{holder} has the database {directory} open, and this engine lets one process write "
            "at a time, or several read (read_only). Close it there, or use sqlite or lmdb, which "
            "processes share",
            path=str(directory),
            found=holder,
            timeout_s=timeout_s,
        )

    def _holder(self) -> str:
        """Who has the lock, as far as that can be told."""
        assert self._file is not None
        number = os.fstat(self._file.fileno()).st_ino
        with suppress(OSError, ValueError, IndexError):
            # The system knows also those that read, and who died without a word.
            for line in _LOCKS.read_text("ascii").splitlines():
                fields = line.split()
                if fields[1] == "FLOCK" and fields[5].endswith(f":{number}") and int(fields[4]) > 0:
                    return f"process {fields[4]}"
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = orjson.loads(os.pread(self._file.fileno(), _SAID_BYTES_MAX, 0))
            return f"process {said['process']} on {said['machine']}"
        return "another process"


def _private(path: str, flags: int) -> int:
    made = os.O_CREAT if flags & os.O_RDWR else 0
    return os.open(path, flags | made | getattr(os, "O_CLOEXEC", 0), 0o600)
