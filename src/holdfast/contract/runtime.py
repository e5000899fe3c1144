"""Time, ids and waiting, as arguments: what the lower floors ask instead of doing it themselves.

A `Runtime` is how the present caller waits: on an event loop, or by holding its thread. Code on
the lower floors awaits its objects and works in both. `runtime/system.py` has both implementations;
tests bring their own.
"""

from __future__ import annotations

import itertools
import os
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Where instants and durations come from."""

    def now_ms(self) -> int:
        """Wall-clock instant: milliseconds since 1970 UTC. May step back."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    # The system's own, because it is asked on the path of every write.
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that stands still until it is told to move: for tests.

    Args:
        now_ms: where it stands at first, in milliseconds since 1970 UTC.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        """Where it stands, in milliseconds since 1970 UTC."""
        return self._now_ms

    def monotonic(self) -> float:
        """How many seconds it was moved on altogether."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on the wall and in durations. A negative step moves the wall alone."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += max(seconds, 0.0)


class Ids(Protocol):
    """Where identities come from."""

    def new(self) -> bytes:
        """16 bytes that are given out once; later ones sort behind earlier ones, roughly."""
        ...


class SystemIds:
    """Time-ordered identities: milliseconds (6 bytes), a counter (3), this maker's random (7).

    The counter keeps the ids of one maker apart (`next` on a count is one step, so threads may
    share it), the random part keeps makers apart, a forked child's from its parent's too.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = itertools.count(int.from_bytes(os.urandom(2), "big"))
        self._maker = os.urandom(7)
        _makers.add(self)

    def new(self) -> bytes:
        instant = self._clock.now_ms().to_bytes(6, "big")
        return instant + (next(self._count) & 0xFFFFFF).to_bytes(3, "big") + self._maker


_makers: weakref.WeakSet[SystemIds] = weakref.WeakSet()


def _part_from_parent() -> None:
    for ids in list(_makers):
        ids._maker = os.urandom(7)  # noqa: SLF001 - ours


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_part_from_parent)


class Completion(ABC, Generic[T]):
    """A result that one thread will have later and another waits for."""

    @abstractmethod
    async def wait(self, timeout_s: float | None = None) -> T:
        """The result. Raises what it failed with, or TimedOut (and may be awaited again)."""

    @abstractmethod
    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        """Give the result or the failure, from any thread, once; later calls do nothing."""


class Worker(ABC):
    """A thread that was started by a runtime."""

    @abstractmethod
    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; False when it still runs after the time."""


class Stopped(BaseException):
    """Ends a coroutine where it waits in a thread of its own; it goes through every handler.

    Not GeneratorExit, which would not reach below an asynchronous iterator.
    """


class Background(ABC):
    """A coroutine that goes on by itself: a task of a loop, or a thread of its own."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it to end where it waits, from any thread; asking twice does nothing."""

    @abstractmethod
    async def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False when it goes on after the time, or is who is asking."""


class Runtime(ABC):
    """How the present caller waits."""

    #: True when waiting holds the calling thread; False when a loop must not be held up.
    blocking: bool

    @abstractmethod
    def completion(self) -> Completion[T]:
        """A new, open completion that this caller can wait for."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let that much time pass."""

    @abstractmethod
    async def offload(self, work: Callable[[], T]) -> T:
        """Run blocking work where it does not hold up a loop."""

    @abstractmethod
    async def timeout(self, awaitable: Awaitable[T], seconds: float) -> T:
        """The awaitable's result, or TimedOut after that time (the awaitable is cancelled)."""

    @abstractmethod
    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Background:
        """Let a coroutine go on in the background. It handles its own errors."""

    @abstractmethod
    async def shielded(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work returns; it goes on to its end also when the caller is cancelled."""

    @property
    @abstractmethod
    def runs(self) -> Callable[[], bool]:
        """A cheap question: whether this way of waiting is at work now, in whatever thread."""

    @abstractmethod
    def caller(self) -> object:
        """Who is calling: the task on a loop, the thread elsewhere; compare by identity."""

    @abstractmethod
    def check(self) -> None:
        """Raise WrongContext when called where this runtime cannot wait (another loop)."""


class Host(ABC):
    """What engines get once, at their making: who is calling, and a way to run threads."""

    @abstractmethod
    def runtime(self) -> Runtime:
        """The runtime of the present caller."""

    def may_hold(self) -> bool:
        """Whether the caller's thread may be held: a plain thread, or a driven coroutine."""
        return self.runtime().blocking

    @abstractmethod
    def spawn(self, name: str, work: Callable[[], None]) -> Worker:
        """Start a named daemon thread."""

    @abstractmethod
    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Background:
        """Run a coroutine in a thread of its own, from any caller. It handles its errors."""

    @abstractmethod
    def settle(
        self, results: Iterable[tuple[Completion[T], T | None, BaseException | None]]
    ) -> None:
        """Settle many completions, with one wake-up for each loop concerned."""


@dataclass(frozen=True, slots=True)
class Components:
    """What a database is given besides its settings."""

    host: Host
    clock: Clock
    ids: Ids
