"""Calls of an engine are counted and timed, for Prometheus and OpenTelemetry.

    holdfast.open("lmdb:///app?layers=metrics")
    PROCESS.prometheus()                        # what all layers named so have measured

    mine = Measurements()                       # or apart from those
    holdfast.open("lmdb:///app", layers=[Metrics(into=mine)])

What is measured is told by engine, verb and code of error: never by a key or a value.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from holdfast.contract.engine import NOT_NOW, Engine, NotNow
from holdfast.contract.errors import StoreError
from holdfast.contract.forks import renewed_lock
from holdfast.contract.layering import CallLayer, LayerSettings, Verb

T = TypeVar("T")

#: The upper bounds of the buckets of durations, in seconds; as state has them, and a finer one.
BOUNDARIES: Final = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
#: The histogram of the stable conventions for databases, in seconds.
DURATION: Final = "db.client.operation.duration"
#: What a call ended with that is no error of the contract: an exception of somebody's code, or
#: what ends a task or a program.
OTHER: Final = "OTHER"
INTERRUPTED: Final = "INTERRUPTED"
_PREFIX: Final = "holdfast_engine_operation"
_log = logging.getLogger("holdfast")


class Measured(NamedTuple):
    """What is known of one verb of one engine.

    Attributes:
        calls: how many ended.
        took_s: how long they took together, in seconds.
        buckets: how many took up to each of `BOUNDARIES`, and how many took longer.
        errors: how many raised, by the code of the error.
    """

    calls: int
    took_s: float
    buckets: tuple[int, ...]
    errors: dict[str, int]


class _Counts:
    def __init__(self) -> None:
        self.took_s = 0.0
        self.buckets = [0] * (len(BOUNDARIES) + 1)
        self.errors: dict[str, int] = {}


class Measurements:
    """Counts and durations, by engine and verb; any number of layers and threads add to it."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Verb], _Counts] = {}
        self._lock = renewed_lock(self, "_lock")

    def add(self, engine: str, verb: Verb, took_s: float, error: str | None = None) -> None:
        """One call has ended.

        Args:
            engine: its name.
            verb: which was called.
            took_s: in seconds.
            error: the code of what it raised; None: it returned.
        """
        with self._lock:
            counts = self._counts.get((engine, verb))
            if counts is None:
                counts = self._counts[engine, verb] = _Counts()
            counts.buckets[bisect_left(BOUNDARIES, took_s)] += 1
            counts.took_s += took_s
            if error is not None:
                counts.errors[error] = counts.errors.get(error, 0) + 1

    def measured(self) -> dict[tuple[str, Verb], Measured]:
        """What was measured so far, by (engine, verb)."""
        with self._lock:
            return {
                place: Measured(
                    sum(counts.buckets), counts.took_s, tuple(counts.buckets), dict(counts.errors)
                )
                for place, counts in sorted(self._counts.items())
            }

    def prometheus(self) -> str:
        """The same in Prometheus' text format, version 0.0.4; serve it as `text/plain`."""
        measured = self.measured()
        lines = [
            f"# HELP {_PREFIX}_duration_seconds How long calls of the engine took.",
            f"# TYPE {_PREFIX}_duration_seconds histogram",
        ]
        for (engine, verb), one in measured.items():
            labels = f'engine="{_escaped(engine)}",operation="{verb}"'
            below = 0
            for boundary, count in zip((*map(repr, BOUNDARIES), "+Inf"), one.buckets, strict=True):
                below += count
                name = f"{_PREFIX}_duration_seconds_bucket"
                lines.append(f'{name}{{{labels},le="{boundary}"}} {below}')
            lines.append(f"{_PREFIX}_duration_seconds_sum{{{labels}}} {one.took_s!r}")
            lines.append(f"{_PREFIX}_duration_seconds_count{{{labels}}} {one.calls}")
        lines += [
            f"# HELP {_PREFIX}_errors_total How many calls of the engine raised.",
            f"# TYPE {_PREFIX}_errors_total counter",
        ]
        for (engine, verb), one in measured.items():
            labels = f'engine="{_escaped(engine)}",operation="{verb}"'
            for code, count in sorted(one.errors.items()):
                lines.append(f'{_PREFIX}_errors_total{{{labels},code="{code}"}} {count}')
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


#: What layers measure that are not told where to put it.
PROCESS: Final = Measurements()


@dataclass(frozen=True, kw_only=True)
class Metrics(LayerSettings):
    """Counts and times calls.

    Attributes:
        into: where counts and durations go.
        meter: the meter of OpenTelemetry they go to as well; None: that of the global provider,
            where the API of OpenTelemetry is installed. False: none. One that raises is asked no
            more, and a warning is logged.
    """

    layer: ClassVar[str] = "metrics"

    into: Measurements = field(default=PROCESS)
    meter: Any = None

    def __call__(self, engine: Engine) -> MetricsLayer:
        return MetricsLayer(engine, self)

    @classmethod
    def _kinds(cls) -> dict[str, Any]:
        return {}  # Neither can be spelled in a URL.


class MetricsLayer(CallLayer):
    """An engine whose calls are measured."""

    def __init__(self, inner: Engine, settings: Metrics | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or Metrics()
        self._clock = inner.components.clock
        self._engine = inner.capabilities.engine
        self._duration = _histogram(self.settings.meter)

    async def through(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        began = self._clock.monotonic()
        try:
            answer = await call()
        except BaseException as error:
            self._ended(verb, began, _code(error))
            raise
        self._ended(verb, began)
        return answer

    def now(self, verb: Verb, call: Callable[[], T | NotNow]) -> T | NotNow:
        began = self._clock.monotonic()
        try:
            answer = call()
        except BaseException as error:
            self._ended(verb, began, _code(error))
            raise
        if answer is not NOT_NOW:  # Otherwise the verb follows, and is counted.
            self._ended(verb, began)
        return answer

    def _ended(self, verb: Verb, began: float, error: str | None = None) -> None:
        took_s = self._clock.monotonic() - began
        self.settings.into.add(self._engine, verb, took_s, error)
        duration = self._duration
        if duration is not None:
            labels = {
                "db.system.name": "holdfast",
                "db.operation.name": verb,
                "holdfast.engine": self._engine,
            }
            if error is not None:
                labels["error.type"] = error
            try:
                duration.record(took_s, labels)
            except Exception as broken:  # noqa: BLE001 - a meter may raise anything
                # A commit is not to seem failed because its duration could not be noted.
                self._duration = None
                _log.warning(
                    "durations of %s go to the meter no more: it raised a %s",
                    self._engine,
                    type(broken).__name__,
                )


def _code(error: BaseException) -> str:
    """What an error is counted as: one of a bounded number of names, never its text."""
    if isinstance(error, StoreError):
        return error.code.value
    return OTHER if isinstance(error, Exception) else INTERRUPTED


def _histogram(meter: Any) -> Any:
    """The histogram of a meter; None where there is no meter."""
    if meter is None:
        try:
            meter = import_module("opentelemetry.metrics").get_meter("holdfast.engines")
        except ImportError:
            return None
    if meter is False:
        return None
    return meter.create_histogram(
        DURATION,
        unit="s",
        description="Duration of operations",
        explicit_bucket_boundaries_advisory=BOUNDARIES,
    )
