"""The gate of a handle: whether it may be used here and now, asked at every call."""

from __future__ import annotations

import threading
from collections.abc import Callable

from holdfast.contract.errors import StoreError
from holdfast.contract.runtime import Runtime


class Gate:
    """Open where the handle was opened, until the handle is closed.

    On the path of every read the question is two calls in C, and only the answer no is looked at
    closely (asking which loop runs here would ask the system for the process's number, too):

        if not gate.open_here() or get_ident() != gate.thread:
            gate.check()

    Args:
        runtime: of the caller that opened the handle.
        refuse: the error for a call on a closed handle.

    Attributes:
        runtime: of the caller that opened the handle. The present one may not be asked for where
            there is no loop.
    """

    __slots__ = ("_closed", "_refuse", "open_here", "runtime", "thread")

    def __init__(self, runtime: Runtime, refuse: Callable[[], StoreError]) -> None:
        self.open_here: Callable[[], bool] = runtime.runs
        self.thread = threading.get_ident()
        self.runtime = runtime
        self._refuse = refuse
        self._closed = False

    def check(self) -> None:
        """Raise StoreClosed after close, WrongContext on another event loop."""
        if self._closed:
            raise self._refuse()
        self.runtime.check()

    def close(self) -> None:
        """Refuse from now on."""
        self._closed = True
        self.open_here = bool  # Answers no.
