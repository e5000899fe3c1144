"""Engines that fail as planned, with a clock that is moved by hand and rests that take no time."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from holdfast.contract.engine import Engine
from holdfast.contract.runtime import Components, ManualClock, Runtime
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer
from holdfast.runtime.system import SystemHost, ThreadRuntime, drive, system_components

E = TypeVar("E", bound=Engine)


class Resting(ThreadRuntime):
    """Rests move the clock, and are noted."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.rests: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self._clock.advance(seconds)


class RestingHost(SystemHost):
    """Callers rest as above."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.resting = Resting(clock)

    def runtime(self) -> Runtime:
        return self.resting


def components() -> tuple[Components, RestingHost, ManualClock]:
    clock = ManualClock()
    host = RestingHost(clock)
    return replace(system_components(), host=host, clock=clock), host, clock


def failing(given: Components, *faults: Fault) -> FaultsLayer:
    """An open memory engine that fails as planned."""
    return opened(FaultsLayer(MemoryEngine(MemoryConfig(), given), FaultPlan(faults)))


def opened(engine: E) -> E:
    drive(engine.open())
    return engine
