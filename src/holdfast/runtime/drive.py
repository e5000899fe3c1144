"""Driving: a coroutine of this library runs through in the caller's thread, without a loop.

A driven coroutine that has to wait hands its driver a `Hold`, and the driver holds the thread. So
a driver can stop waiting (a time-out, Ctrl-C, a close by another thread) and go on later where the
coroutine stands.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, TypeVar, cast

from holdfast.contract.errors import TimedOut, WrongContext
from holdfast.contract.runtime import Completion

T = TypeVar("T")

_NO_HOOKS = (None, None)


class _Driving(threading.local):
    now = False


driving = _Driving()


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of this library to its end in this thread, without an event loop.

    Raises:
        WrongContext: it suspended, so it needs a loop (a network engine).
    """
    before = driving.now
    try:
        driving.now = True
        wish = coroutine.send(None)
        while True:
            if type(wish) is not Hold:
                coroutine.close()
                raise _suspended()
            try:
                opened = wish.wait(None)
            except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                # An interrupted wait fails inside the coroutine, whose clean-up then runs.
                wish = coroutine.throw(error)
            else:
                wish = coroutine.send(opened)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        driving.now = before


class _Closed(BaseException):
    """Ends a step where it waits; GeneratorExit would not reach below an asynchronous iterator."""


class DrivenIterator(Iterator[T]):
    """The items of an asynchronous iterator of this library, driven by whoever takes one.

    Threads may share it: each item goes to one of them. An interrupted wait (Ctrl-C, a time-out)
    loses nothing; the next call goes on waiting.
    """

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator
        # What a walk has read already needs no coroutine.
        self._ready: deque[T] | None = getattr(iterator, "ready", None)
        self._turn = threading.Lock()
        # The step under way when the last caller stopped waiting, and what it waits for.
        self._step: Coroutine[Any, Any, T] | None = None
        self._hold: Hold | None = None
        self._closed = False

    def __next__(self) -> T:
        ready = self._ready
        if ready and not self._closed:
            try:
                return ready.popleft()
            except IndexError:
                pass  # Another thread took the last one.
        return self.take()

    def take(self, timeout_s: float | None = None) -> T:
        """The next item.

        Raises:
            StopIteration: there is none, or the iterator was closed.
            TimedOut: there is none yet.
        """
        deadline = None
        if timeout_s is not None:
            timeout_s = max(timeout_s, 0.0)
            deadline = time.monotonic() + timeout_s
        if not self._turn.acquire(timeout=-1 if timeout_s is None else timeout_s):
            raise _no_item()
        try:
            return self._drive(deadline)
        except StopAsyncIteration:
            raise StopIteration from None
        finally:
            self._turn.release()
            if self._closed:
                self._end()

    def close(self) -> None:
        """End the iteration, also one that another thread waits in; twice does nothing."""
        self._closed = True
        hold = self._hold
        if hold is not None:
            hold.give_up()
        self._end()

    def _drive(self, deadline: float | None) -> T:
        """Go on to the next item, or until the deadline."""
        before = driving.now
        # A loop that happens to run in this thread shall not adopt our generators.
        hooks = sys.get_asyncgen_hooks()
        adopted = hooks != _NO_HOOKS
        try:
            driving.now = True
            if adopted:
                sys.set_asyncgen_hooks(*_NO_HOOKS)
            while True:
                self._go_on(deadline)
        except StopIteration as finished:
            item: T = finished.value
            return item
        finally:
            driving.now = before
            if adopted:
                sys.set_asyncgen_hooks(*hooks)

    def _go_on(self, deadline: float | None) -> None:
        """Wait for what the step waits for, and run it to its next wait or its end."""
        if self._closed:
            raise StopAsyncIteration
        step, hold, opened = self._step, self._hold, None
        if step is None:
            step = cast("Coroutine[Any, Any, T]", self._iterator.__anext__())
        elif hold is not None:
            opened = hold.wait(deadline)
            if self._closed:
                raise StopAsyncIteration
            if opened is None:
                raise _no_item()
        self._step = self._hold = None
        wish = step.send(opened)
        if type(wish) is not Hold:
            raise _suspended()
        # `close` marks the iterator first and then looks for a hold; here it is the other way
        # round, so one of the two notices the other.
        self._step, self._hold = step, wish

    def _end(self) -> None:
        """Close what is driven, unless a thread is at it: that one calls this when it is done."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            step, self._step, self._hold = self._step, None, None
            if step is not None:
                with contextlib.suppress(_Closed, StopAsyncIteration):
                    step.throw(_Closed())
            close = getattr(self._iterator, "aclose", None)
            if close is not None:
                drive(close())
        finally:
            self._turn.release()


def _no_item() -> TimedOut:
    return TimedOut("no item came within the time given; ask again, nothing is lost")


def _suspended() -> WrongContext:
    return WrongContext(
        "this call has to wait on an event loop, which a synchronous handle of an embedded "
        "engine never does; await it on the asynchronous handle instead"
    )


# --- Holding the thread ---------------------------------------------------------------------


class Hold:
    """What a driven coroutine hands to its driver in order to wait."""

    def __init__(self, completion: ThreadCompletion[Any], timeout_s: float | None) -> None:
        self._completion = completion
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def __await__(self) -> Generator[Hold, bool, bool]:
        return (yield self)

    def wait(self, until: float | None) -> bool | None:
        """Hold the thread: True once it is settled, False when the coroutine's time is up.

        None: it is `until`, a monotonic instant, and neither has happened.
        """
        own = self._deadline
        first = min((one for one in (own, until) if one is not None), default=None)
        if self._completion.hold(None if first is None else first - time.monotonic()):
            return True
        return False if first == own else None

    def give_up(self) -> None:
        """Wake the thread that is held."""
        self._completion.settle()


class ThreadCompletion(Completion[T]):
    """A lock that opens once: cheaper than an Event."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._unsettled = threading.Lock()
        self._result: T | None = None
        self._error: BaseException | None = None

    async def wait(self, timeout_s: float | None = None) -> T:
        if not await Hold(self, timeout_s):
            raise TimedOut(f"no answer within {timeout_s} s", timeout_s=timeout_s)
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        if self._unsettled.acquire(blocking=False):
            self._result, self._error = result, error
            self._gate.release()

    def hold(self, timeout_s: float | None) -> bool:
        """Hold the thread until it is settled; False when it is not in time."""
        if not self._gate.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0)):
            return False
        self._gate.release()
        return True
