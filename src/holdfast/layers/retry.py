"""Calls that met trouble are made again where that is safe.

    holdfast.open("redis://localhost?layers=retry:attempts=5")

| call                               | is made again after                                     |
|------------------------------------|---------------------------------------------------------|
| a read                             | any trouble: it changes nothing                         |
| a commit with a batch id           | any trouble: the engine applies an id once              |
| a commit without one, `load`, ...  | trouble of which is known that nothing was written      |
| `transact`                         | the same, unless its function ran and may run only once |
| `close`                            | nothing                                                 |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from holdfast.contract.batch import Batch, Decide, Receipt
from holdfast.contract.config import Seconds
from holdfast.contract.engine import NOT_NOW, Engine, NotNow
from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    OutcomeUnknown,
    Overloaded,
    StoreError,
    StoreLocked,
    TimedOut,
)
from holdfast.contract.layering import READS, CallLayer, LayerSettings, Verb, Watched
from holdfast.contract.pauses import pause_s

T = TypeVar("T")

#: What says that nothing was changed, so that asking again is safe.
HARMLESS: Final = (ConnectionFailed, ConnectionLost, Overloaded, StoreLocked)
#: What says that the engine is in trouble, and not that the call was wrong.
TROUBLE: Final = (*HARMLESS, OutcomeUnknown, TimedOut)
ATTEMPTS_MAX: Final = 100
#: Between two attempts passes no more than this, in seconds.
PAUSE_MAX_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Retry(LayerSettings):
    """Makes calls again.

    Attributes:
        attempts: how often a call is made at most.
        pause_s: before the second attempt, at the most; it doubles each time up to `PAUSE_MAX_S`.
    """

    layer: ClassVar[str] = "retry"

    attempts: int = 3
    pause_s: Seconds = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("attempts", 1, ATTEMPTS_MAX)
        self._within("pause_s", 0.0, PAUSE_MAX_S)

    def __call__(self, engine: Engine) -> RetryLayer:
        return RetryLayer(engine, self)


class RetryLayer(CallLayer):
    """An engine that is asked again.

    Attributes:
        retried: how many calls were made again.
    """

    def __init__(self, inner: Engine, settings: Retry | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or Retry()
        self.retried = 0

    async def through(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        if verb == "close":
            return await call()  # What it has let go is not there to be asked again.
        return await self._again(call, TROUBLE if verb in READS else HARMLESS)

    def now(self, verb: Verb, call: Callable[[], T | NotNow]) -> T | NotNow:
        if verb not in READS:
            return call()
        try:
            return call()
        except TROUBLE:
            return NOT_NOW  # It is then asked by the verb, which may rest.

    async def commit(self, batch: Batch) -> Receipt:
        safe = HARMLESS if batch.id is None else TROUBLE
        return await self._again(lambda: self.inner.commit(batch), safe)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        watched = Watched(decide)
        once = self.inner.capabilities.transacts_once
        return await self._again(
            lambda: self.inner.transact(keys, watched, previous=previous),
            HARMLESS,
            lambda: watched.failure is None and not (once and watched.ran),
        )

    async def _again(
        self,
        call: Callable[[], Awaitable[T]],
        safe: tuple[type[StoreError], ...],
        may: Callable[[], bool] = lambda: True,
    ) -> T:
        for attempt in range(1, self.settings.attempts):
            try:
                return await call()
            except safe:
                if not may():
                    raise
            self.retried += 1
            ids, runtime = self.components.ids, self.components.host.runtime()
            await runtime.sleep(pause_s(ids, attempt, self.settings.pause_s, PAUSE_MAX_S))
        return await call()
