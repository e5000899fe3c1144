"""While the engine is in trouble calls fail at once, and now and then one asks whether it is over.

    holdfast.open("redis://localhost?layers=breaker:failures=5:rest_s=5s")

The breaker is `closed` and lets calls through; so many failures in a row make it `open`, and it
refuses calls with ConnectionFailed. After its rest it is `half-open`: one call is let through, and
what becomes of it closes or opens the breaker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeVar

from holdfast.contract.batch import Decide, Receipt
from holdfast.contract.config import Seconds
from holdfast.contract.engine import NOT_NOW, Engine, NotNow
from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    OutcomeUnknown,
    Overloaded,
    StoreError,
    TimedOut,
)
from holdfast.contract.forks import renewed_lock
from holdfast.contract.layering import CallLayer, LayerSettings, Verb, Watched

T = TypeVar("T")

#: What says that the engine is in trouble, and not that the call was wrong.
TROUBLE: Final = (ConnectionFailed, ConnectionLost, OutcomeUnknown, TimedOut, Overloaded)
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


class BreakerLayer(CallLayer):
    """An engine that is left in peace while it is in trouble.

    Attributes:
        state: `closed`, `open` or `half-open`.
        refused: how many calls were refused.
    """

    def __init__(self, inner: Engine, settings: Breaker | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or Breaker()
        self.state: Literal["closed", "open", "half-open"] = "closed"
        self.refused = 0
        self._clock = inner.components.clock
        self._lock = renewed_lock(self, "_lock")
        self._failures = 0
        self._open_until = 0.0

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
        probing = self._admit()
        met: bool | None = None  # Trouble; None: nothing is known.
        try:
            answer = await call()
            met = False
        except TROUBLE:
            met = None if callers_own() else True
            raise
        except StoreError:
            # The engine answered: it is well, whatever it said.
            met = None if callers_own() else False
            raise
        finally:
            self._met(met, probing)
        return answer

    def _admit(self) -> bool:
        """Whether the call is the one that asks. Raises ConnectionFailed when it is refused."""
        with self._lock:
            if self.state == "closed":
                return False
            left = self._open_until - self._clock.monotonic()
            if self.state == "open" and left <= 0:
                self.state = "half-open"
                return True
            self.refused += 1
            failures, state = self._failures, self.state
        raise ConnectionFailed(
            f"the breaker is {state}: {failures} calls in a row found the engine in trouble. It "
            f"is asked again in {max(left, 0.0):.1f} s"
        )

    def _met(self, trouble: bool | None, probing: bool) -> None:
        with self._lock:
            if trouble is None:
                if probing:
                    # Cancelled, or broken in the middle: nothing is known, so the next one asks.
                    self.state = "open"
            elif trouble:
                self._failures += 1
                if probing or (self.state == "closed" and self._failures >= self.settings.failures):
                    self.state = "open"
                    self._open_until = self._clock.monotonic() + self.settings.rest_s
            elif probing or self.state == "closed":
                # What began before the breaker opened does not close it.
                self.state = "closed"
                self._failures = 0
