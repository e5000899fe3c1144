"""Driving: a coroutine of this library runs through in the caller's thread, without a loop.

A driven coroutine that has to wait hands its driver a `Hold`, and the driver holds the thread. So
a driver can stop waiting (a time-out, Ctrl-C, a close by another thread) and go on later where the
coroutine stands.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator, Iterator
from queue import Empty, SimpleQueue
from types import CodeType
from typing import Any, TypeVar, cast

from holdfast.contract.errors import InvalidInput, StoreClosed, TimedOut, WrongContext
from holdfast.contract.queues import next_of
from holdfast.contract.runtime import Completion, Stopped

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
        result = _run(coroutine)
        driving.now = before
    except BaseException:
        # Not in a `finally`: an interrupt may come at its first step.
        driving.now = before
        raise
    return result


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    opened: bool | None = None
    failure: BaseException | None = None
    while True:
        try:
            if failure is None:
                wish = coroutine.send(opened)
            else:
                # Held by no name: an error that its own frame holds keeps all below it alive.
                thrown, failure = [failure], None
                wish = coroutine.throw(thrown.pop())
            if type(wish) is not Hold:
                coroutine.close()
                raise _suspended()
            opened = wish.wait(None)
        except StopIteration as finished:
            result: T = finished.value
            return result
        except BaseException as error:
            if getattr(coroutine, "cr_frame", None) is None:
                raise  # It has ended by this.
            # An interrupted wait fails inside the coroutine, whose clean-up then runs.
            failure = error


#: Stands for this process: another object in each forked child.
_process: list[object] = [object()]


def _part_from_parent() -> None:
    _process[0] = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_part_from_parent)


class DrivenIterator(Iterator[T]):
    """The items of an asynchronous iterator of this library, driven by the caller that takes one.

    Threads may share it: each item goes to one of them. An interrupted wait (Ctrl-C, a time-out)
    loses nothing; the next call goes on waiting.
    """

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator
        # What a walk has read already needs no coroutine.
        self._ready: deque[T] | None = getattr(iterator, "ready", None)
        # Knows its thread, so that what an interrupt left locked can be let go.
        self._turn = threading.RLock()
        # Items on their way to a caller; an interrupt leaves them to the next.
        self._kept: deque[T] = deque()
        # What ended the iterator in the middle of its own code.
        self._broken: BaseException | None = None
        # The step under way when the last caller stopped waiting, and what it waits for.
        self._step: Coroutine[Any, Any, T] | None = None
        self._hold: Hold | None = None
        self._closed = False
        self._process = _process[0]

    def __next__(self) -> T:
        ready = self._ready
        if ready and not self._kept and not self._closed:
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
            timeout_s = seconds_to_wait(timeout_s)
            deadline = time.monotonic() + timeout_s
        if self._process is not _process[0]:
            self._adopt()
        while True:
            try:
                if not self._turn.acquire(timeout=-1 if timeout_s is None else timeout_s):
                    raise _no_item()
                if not self._kept:
                    self._drive(deadline)
                self._turn.release()
            except BaseException as error:
                self._recover(error)
                if isinstance(error, StopAsyncIteration):
                    raise StopIteration from None
                raise
            if self._closed:
                self._end()
            try:
                return self._kept.popleft()
            except IndexError:
                continue  # Another thread took it.

    def _adopt(self) -> None:
        """Go on in a forked child, if nothing was under way in the parent. Raises WrongContext.

        What a step waits for there is never settled here, and a turn of its threads never ends.
        """
        if self._step is not None or not self._turn.acquire(blocking=False):
            raise WrongContext(
                "this iteration was under way before a fork and belongs to the parent; open the "
                "database in the child, and begin it there"
            )
        self._turn.release()
        self._process = _process[0]

    def _recover(self, error: BaseException) -> None:
        """Put right what an error or an interrupt of `take` left half-way."""
        ended = error.__context__
        if not isinstance(error, Exception) and _came_by(ended, DrivenIterator._go_on.__code__):
            # The interrupt came when the step had just ended, perhaps with an item.
            self._step = self._hold = None
            if isinstance(ended, StopIteration) and not self._kept:
                self._kept.append(ended.value)
        with contextlib.suppress(RuntimeError):
            while True:
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

    def _drive(self, deadline: float | None) -> None:
        """Go on to the next item, and keep it, or until the deadline."""
        before = driving.now
        # A loop that happens to run in this thread shall not adopt our generators.
        hooks = sys.get_asyncgen_hooks()
        adopted = hooks != _NO_HOOKS
        try:
            driving.now = True
            if adopted:
                sys.set_asyncgen_hooks(*_NO_HOOKS)
            self._go_on_to_item(deadline)
            driving.now = before
            if adopted:
                sys.set_asyncgen_hooks(*hooks)
        except BaseException:
            driving.now = before
            if adopted:
                sys.set_asyncgen_hooks(*hooks)
            raise

    def _go_on_to_item(self, deadline: float | None) -> None:
        try:
            while True:
                self._go_on(deadline)
        except StopIteration as finished:
            self._kept.append(finished.value)

    def _go_on(self, deadline: float | None) -> None:
        """Wait for what the step waits for, and run it to its next wait or its end."""
        if self._closed:
            raise StopAsyncIteration
        if self._broken is not None:
            raise StoreClosed(
                "the iteration was interrupted in the middle of a step and cannot go on; start it "
                "again, a watch from the cursor of the last change"
            ) from self._broken
        step, hold, opened = self._step, self._hold, None
        if step is None:
            step = self._step = cast("Coroutine[Any, Any, T]", self._iterator.__anext__())
        elif hold is not None:
            opened = hold.wait(deadline)
            if self._closed:
                raise StopAsyncIteration
            if opened is None:
                raise _no_item()
        try:
            wish = step.send(opened)
        except BaseException as error:
            self._step = self._hold = None
            if not isinstance(error, Exception) and getattr(self._iterator, "ag_frame", 1) is None:
                self._broken = error
            raise
        if type(wish) is not Hold:
            self._step = self._hold = None
            raise _suspended()
        # `close` marks the iterator first and then looks for a hold; here it is the other way
        # round, so one of the two notices the other.
        self._hold = wish

    def _end(self) -> None:
        """Close what is driven, unless a thread is at it: that one calls this when it is done."""
        if self._turn._is_owned() or not self._turn.acquire(blocking=False):  # type: ignore[attr-defined]  # noqa: SLF001
            return
        try:
            step, self._step, self._hold = self._step, None, None
            if step is not None:
                with contextlib.suppress(Stopped, StopAsyncIteration):
                    step.throw(Stopped())
            close = getattr(self._iterator, "aclose", None)
            if close is not None:
                drive(close())
        finally:
            self._turn.release()


def seconds_to_wait(timeout_s: float) -> float:
    """A time to wait as given by a caller: from 0 to as long as the system can wait.

    Raises:
        InvalidInput: it is no number.
    """
    number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not number or timeout_s != timeout_s:  # noqa: PLR0124 - which is so of NaN alone
        raise InvalidInput(f"timeout_s is a number of seconds from 0; found {timeout_s!r}")
    return min(max(timeout_s, 0.0), threading.TIMEOUT_MAX / 2)  # Half: what is added to it, too.


def _came_by(error: BaseException | None, code: CodeType) -> bool:
    """Whether the error passed through that code."""
    trace = None if error is None else error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False


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
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        # A queue, because it may be told twice, and its wait can be interrupted and repeated.
        self._gate: SimpleQueue[None] = SimpleQueue()
        completion.join(self._gate)

    def __await__(self) -> Generator[Hold, bool, bool]:
        return (yield self)

    def wait(self, until: float | None) -> bool | None:
        """Hold the thread: True once it is settled, False when the coroutine's time is up.

        None: it is `until`, a monotonic instant, and neither has happened.
        """
        own = self._deadline
        first = min((one for one in (own, until) if one is not None), default=None)
        try:
            rest = None if first is None else max(first - time.monotonic(), 0.0)
            next_of(self._gate, None if rest is None else min(rest, threading.TIMEOUT_MAX))
        except Empty:
            return False if first == own else None
        return True

    def limit(self, deadline: float) -> bool:
        """Wait until this monotonic instant at the longest; whether that is sooner than before."""
        sooner = self._deadline is None or deadline < self._deadline
        if sooner:
            self._deadline = deadline
        return sooner

    def give_up(self) -> None:
        """Wake the thread that is held."""
        self._gate.put(None)


class Limited(Awaitable[T]):
    """The result of an awaitable, which is cancelled where it waits once its time is up.

    Raises:
        TimedOut: it was cancelled.
    """

    def __init__(self, awaitable: Awaitable[T], timeout_s: float) -> None:
        self._awaitable = awaitable
        self._timeout_s = timeout_s

    def __await__(self) -> Generator[Any, Any, T]:
        deadline = time.monotonic() + self._timeout_s
        steps = self._awaitable.__await__()
        opened: bool | None = None
        failure: BaseException | None = None
        expired = False
        while True:
            try:
                if failure is None:
                    wish = steps.send(opened)
                else:
                    thrown, failure = [failure], None  # As in `_run`.
                    wish = steps.throw(thrown.pop())
            except StopIteration as finished:
                return cast("T", finished.value)
            except Stopped:
                if not expired:
                    raise
                raise TimedOut(
                    f"not done within {self._timeout_s} s", timeout_s=self._timeout_s
                ) from None
            ours = not expired and type(wish) is Hold and wish.limit(deadline)
            try:
                opened = yield wish
            except BaseException as error:  # noqa: BLE001 - it belongs to what waits inside
                failure = error
            else:
                if ours and opened is False:
                    expired, failure = True, Stopped()


class ThreadCompletion(Completion[T]):
    """A result that threads wait for, each at a gate of its own."""

    def __init__(self) -> None:
        self._gates: list[SimpleQueue[None]] = []
        # The first one counts. To append is one step, so threads and interrupts leave it whole.
        self._outcomes: list[tuple[T | None, BaseException | None]] = []

    async def wait(self, timeout_s: float | None = None) -> T:
        if not await Hold(self, timeout_s) and not self._outcomes:
            raise TimedOut(f"no answer within {timeout_s} s", timeout_s=timeout_s)
        result, error = self._outcomes[0]
        if error is not None:
            raise error
        return cast("T", result)

    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        if not self._outcomes:
            self._outcomes.append((result, error))
        # Also the second time: the first may have been interrupted here.
        for gate in self._gates:
            gate.put(None)

    def join(self, gate: SimpleQueue[None]) -> None:
        """Have the gate opened once it is settled."""
        self._gates.append(gate)
        if self._outcomes:
            gate.put(None)
