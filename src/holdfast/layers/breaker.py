"""While the engine is in trouble calls fail at once, and now and then one asks whether it is over.

    holdfast.open("redis://localhost?layers=breaker:failures=5:rest_s=5s")

The breaker is `closed` and lets calls through; so many failures in a row make it `open`, and it
refuses calls with ConnectionFailed. After its rest it is `half-open`: one call is let through, and
what becomes of it closes or opens the breaker. A call that ends without a word of the engine, such
as one with a key that cannot be, leaves the question to the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeVar

from holdfast.contract.batch import Decide, Receipt
from holdfast.contract.config import Seconds
from holdfast.contract.engine import NOT_NOW, Engine, NotNow
from holdfast.contract.errors import (
    Compacted,
    Conflict,
    ConnectionFailed,
    ConnectionLost,
    ConsistencyViolation,
    DeadlockDetected,
    Fenced,
    IntegrityFailed,
    KeyNotFound,
    OutcomeUnknown,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    StorageFull,
    StoreError,
    TimedOut,
    TransactionAborted,
    Unauthenticated,
)
from holdfast.contract.forks import renewed_lock
from holdfast.contract.layering import CallLayer, LayerSettings, Verb, Watched
from holdfast.contract.runtime import Clock

T = TypeVar("T")

#: What says that the engine is in trouble, and not that the call was wrong.
TROUBLE: Final = (ConnectionFailed, ConnectionLost, OutcomeUnknown, TimedOut, Overloaded)
#: What only somebody says who was reached. All other errors may come from this side of the way: a
#: key that cannot be, a handle that was closed.
ANSWERS: Final = (
    Compacted,
    Conflict,
    ConsistencyViolation,
    DeadlockDetected,
    Fenced,
    IntegrityFailed,
    KeyNotFound,
    PermissionDenied,
    QuotaExceeded,
    StorageFull,
    TransactionAborted,
    Unauthenticated,
)
#: What goes through an open breaker too: letting go, and what waits for others.
UNGUARDED: Final[frozenset[Verb]] = frozenset(("close", "wait"))
FAILURES_MAX: Final = 1_000_000
REST_MIN_S: Final = 0.001
REST_MAX_S: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class Breaker(LayerSettings):
    """Refuses calls while the engine is in trouble.

    Attributes:
        failures: so many calls in a row that meet trouble open the breaker.
        rest_s: for so long; then one call is let through, and its outcome decides.
    """

    layer: ClassVar[str] = "breaker"

    failures: int = 5
    rest_s: Seconds = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("failures", 1, FAILURES_MAX)
        self._within("rest_s", REST_MIN_S, REST_MAX_S)

    def __call__(self, engine: Engine) -> BreakerLayer:
        return BreakerLayer(engine, self)


def trouble_of(error: BaseException) -> bool | None:
    """Whether a failure says that what is asked is in trouble; None: it says nothing of it."""
    if isinstance(error, TROUBLE):
        return True
    answered = isinstance(error, ANSWERS) or (
        # A server's own words, whatever they became.
        isinstance(error, StoreError) and "reply" in error.details
    )
    return False if answered else None


class Breaking:
    """The state of a breaker, for threads and tasks together.

    Args:
        clock: of the rests.
        failures: so many calls in a row that meet trouble open it.
        rest_s: for so long.
        asked: what the calls ask, for the error.

    Attributes:
        state: `closed`, `open` or `half-open`.
        refused: how many calls were refused.
    """

    def __init__(self, clock: Clock, failures: int, rest_s: float, asked: str) -> None:
        self.state: Literal["closed", "open", "half-open"] = "closed"
        self.refused = 0
        self._clock = clock
        self._limit = failures
        self._rest_s = rest_s
        self._asked = asked
        self._lock = renewed_lock(self, "_lock")
        self._failures = 0
        self._open_until = 0.0

    def admit(self) -> bool:
        """Whether the call is the one that asks. Raises ConnectionFailed when it is refused."""
        with self._lock:
            if self.state == "closed":
                return False
            left = self._open_until - self._clock.monotonic()
            if left <= 0:
                # One that asks and waits for long, such as a read that blocks, is not alone for
                # ever: after another rest the next one asks, too.
                self.state = "half-open"
                self._open_until = self._clock.monotonic() + self._rest_s
                return True
            self.refused += 1
            failures, state = self._failures, self.state
        raise ConnectionFailed(
            f"the breaker is {state}: {failures} calls in a row found the {self._asked} in "
            f"trouble. It is asked again in {left:.1f} s"
        )

    def met(self, trouble: bool | None, *, probing: bool) -> None:
        """What became of a call: whether it met trouble; None: nothing is known."""
        with self._lock:
            if trouble is None:
                if probing and self.state == "half-open":
                    # Cancelled, or broken in the middle: the next one asks.
                    self.state = "open"
                    self._open_until = self._clock.monotonic()
            elif trouble:
                self._failures += 1
                if probing or (self.state == "closed" and self._failures >= self._limit):
                    self.state = "open"
                    self._open_until = self._clock.monotonic() + self._rest_s
            elif probing or self.state == "closed":
                # What began before the breaker opened does not close it.
                self.state = "closed"
                self._failures = 0


class BreakerLayer(CallLayer):
    """An engine that is left in peace while it is in trouble."""

    def __init__(self, inner: Engine, settings: Breaker | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or Breaker()
        clock = inner.components.clock
        self._breaking = Breaking(clock, self.settings.failures, self.settings.rest_s, "engine")

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """`closed`, `open` or `half-open`."""
        return self._breaking.state

    @property
    def refused(self) -> int:
        """How many calls were refused."""
        return self._breaking.refused

    async def through(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        return await self._guarded(verb, call, lambda: False)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        watched = Watched(decide)
        return await self._guarded(
            "transact",
            lambda: self.inner.transact(keys, watched, previous=previous),
            lambda: watched.failure is not None,
        )

    def now(self, verb: Verb, call: Callable[[], T | NotNow]) -> T | NotNow:
        # Which call is the one to ask, and what it met, is decided by the verb.
        return call() if self.state == "closed" else NOT_NOW

    async def _guarded(
        self, verb: Verb, call: Callable[[], Awaitable[T]], callers_own: Callable[[], bool]
    ) -> T:
        """One call; `callers_own` tells of a failure that it came from the caller's function."""
        if verb in UNGUARDED:
            return await call()
        probing = self._breaking.admit()
        met: bool | None = None  # Trouble; None: nothing is known.
        try:
            answer = await call()
            met = False
        except StoreError as error:
            met = None if callers_own() else trouble_of(error)
            raise
        finally:
            self._breaking.met(met, probing=probing)
        return answer
