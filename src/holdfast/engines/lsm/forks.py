"""Forks, and the threads that a driver keeps for the whole process, whatever is open in it.

A child has none of them, and the driver does not know that: what it leaves to them is never done.
So a child of a process that has used the driver does not use it. RocksDB also waits for its threads
when a process ends, which a child would never outlive.
"""

from __future__ import annotations

import ctypes
import os

from holdfast.contract.errors import WrongContext


class Threads:
    """The threads of one driver, in this process or in one that it was forked from.

    Args:
        engine: its name, for messages.
        joined: the driver waits for them when the process ends.
    """

    def __init__(self, engine: str, *, joined: bool) -> None:
        self._engine = engine
        self._joined = joined
        self._started = self._left = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def start(self) -> None:
        """A database is about to be opened.

        Raises:
            WrongContext: this is a child of a process that had opened one.
        """
        if self._left:
            raise WrongContext(
                f"this process was forked from one that had opened a {self._engine} database, and "
                f"{self._engine} does not work after that: its threads stay with the parent. Fork "
                "before the first is opened, or start processes with 'spawn' or 'forkserver'"
            )
        self._started = True

    def _after_fork(self) -> None:
        if self._started and not self._left:
            self._left = True
            if self._joined:
                _end_without_the_driver()


def _end_without_the_driver() -> None:
    """Have this process end right after Python did, before the driver is asked to."""
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):  # Of glibc. It hands the exit code to `_exit`.
        library.on_exit(ctypes.cast(library._exit, ctypes.c_void_p), None)  # noqa: SLF001


def leave(held: object) -> None:
    """Never let go of a driver's object, in a child: that would wait for threads of the parent."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
