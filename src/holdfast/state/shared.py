"""One outcome that several wait for. A waiter that is cancelled leaves the others waiting."""

from __future__ import annotations

from typing import Generic, TypeVar

from holdfast.contract.runtime import Completion, Host

T = TypeVar("T")


class Shared(Generic[T]):
    """An outcome that will be there later; it is settled once."""

    __slots__ = ("_error", "_host", "_result", "_settled", "_waiters")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settled = False
        self._result: T | None = None
        self._error: BaseException | None = None
        #: A completion knows one waiter, so each has its own.
        self._waiters: list[Completion[None]] = []

    @property
    def result(self) -> T | None:
        """The result, if it is there."""
        return self._result

    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        """Give the outcome; later calls do nothing."""
        if self._settled:
            return
        self._settled, self._result, self._error = True, result, error
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.settle()

    async def wait(self) -> T | None:
        """The result, or what it failed with."""
        if not self._settled:
            waiter: Completion[None] = self._host.runtime().completion()
            self._waiters.append(waiter)
            try:
                await waiter.wait()
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        if self._error is not None:
            raise self._error
        return self._result
