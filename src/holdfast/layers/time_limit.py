"""Each call ends within a time, or is given up.

    holdfast.open("redis://localhost?layers=time_limit:seconds=2s")

A read that is given up raises TimedOut. A write raises OutcomeUnknown: who stops waiting does not
withdraw it, so it may still be done. What has no end by its nature is not limited: opening and
closing, waiting for commits, checking and compacting.

A call is given up where it waits. An engine that holds the thread while a disk answers waits
nowhere; put the layer offload below this one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar, cast

from holdfast.contract.config import Seconds
from holdfast.contract.engine import Engine
from holdfast.contract.errors import OutcomeUnknown, TimedOut
from holdfast.contract.layering import WRITES, CallLayer, LayerSettings, Verb

T = TypeVar("T")

#: The verbs that are limited.
LIMITED: Final = frozenset(("head", "read", "scan", "snapshot", *WRITES))
SECONDS_MIN: Final = 0.001
SECONDS_MAX: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class TimeLimit(LayerSettings):
    """Gives calls up that take too long.

    Attributes:
        seconds: how long each call may take.
    """

    layer: ClassVar[str] = "time_limit"

    seconds: Seconds = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("seconds", SECONDS_MIN, SECONDS_MAX)

    def __call__(self, engine: Engine) -> TimeLimitLayer:
        return TimeLimitLayer(engine, self)


class TimeLimitLayer(CallLayer):
    """An engine whose calls end in time."""

    def __init__(self, inner: Engine, settings: TimeLimit | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or TimeLimit()

    async def through(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        if verb not in LIMITED:
            return await call()
        seconds = self.settings.seconds

        async def called() -> tuple[T | None, TimeoutError | None]:
            # What ran out of time further in is not ours: it comes out as a result.
            try:
                return await call(), None
            except TimeoutError as error:
                return None, error

        runtime = self.components.host.runtime()
        try:
            answer, error = await runtime.timeout(called(), seconds)
        except TimedOut as late:
            if verb in WRITES:
                raise OutcomeUnknown(
                    f"{verb} was given up after {seconds} s and may still be done. Read what "
                    "stands there, repeat it with the same batch id, or raise the layer's "
                    "time_limit:seconds",
                    timeout_s=seconds,
                ) from late
            raise TimedOut(
                f"{verb} was not done within {seconds} s; try again, or raise the layer's "
                "time_limit:seconds",
                timeout_s=seconds,
            ) from late
        if error is not None:
            raise error
        return cast("T", answer)
