"""The gate of a handle: whether it may be used here and now, asked at every call."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.contract.errors import StoreError
from holdfast.contract.runtime import Runtime


class Gate:
    """Open where the handle was opened, until the handle is closed.

    On the path of every read the question is two look-ups and a call in C:

        if gate.caller() is not gate.home:
            gate.check()

    Args:
        runtime: of whoever opened the handle.
        refuse: the error for a call on a closed handle.
    """

    __slots__ = ("_closed", "_refuse", "_runtime", "caller", "home")

    def __init__(self, runtime: Runtime, refuse: Callable[[], StoreError]) -> None:
        self.caller, self.home = runtime.place()
        self._runtime = runtime
        self._refuse = refuse
        self._closed = False

    def check(self) -> None:
        """Raise StoreClosed after close, WrongContext on another event loop."""
        if self._closed:
            raise self._refuse()
        if self.caller() is not self.home:
            self._runtime.check()

    def close(self) -> None:
        """Refuse from now on."""
        self._closed = True
        self.home = self  # No caller is this.
