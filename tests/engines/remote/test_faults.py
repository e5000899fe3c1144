"""Faults of a driver and of the machine: whoever waits hears of them, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.contract.runtime import Worker
from holdfast.engines.remote.portal import Portal
from holdfast.runtime.system import SystemHost, drive, system_components
from tests.engines.remote.loopback_engine import (
    LoopbackConfig,
    LoopbackEngine,
    LoopbackTransport,
    loopback_config,
)
from tests.engines.remote.scene import put, run


class FaultyTransport(LoopbackTransport):
    async def wait_above(self, revision: int) -> int:
        raise ValueError("a fault of the driver")


class FaultyEngine(LoopbackEngine):
    def transport(self) -> LoopbackTransport:
        assert isinstance(self.config, LoopbackConfig)
        return FaultyTransport(self.config)


def test_a_fault_of_the_driver_reaches_who_waits_for_a_commit(tmp_path: Path) -> None:
    async def test() -> None:
        engine = FaultyEngine(loopback_config(str(tmp_path)), system_components())
        await engine.open()
        try:
            for _ in range(2):
                with pytest.raises(ValueError, match="of the driver"):
                    await engine.wait(0)
            assert await put(engine, b"key") == 1
        finally:
            await engine.close()

    run(test)


class FullHost(SystemHost):
    """Gives no thread the first time."""

    refused = False

    def spawn(self, name: str, work: Callable[[], None]) -> Worker:
        if not self.refused:
            self.refused = True
            raise RuntimeError("can't start new thread")
        return super().spawn(name, work)


def test_a_caller_without_a_loop_hears_that_there_is_no_thread_and_can_try_again() -> None:
    portal = Portal("portal", FullHost())

    async def name() -> str:
        return threading.current_thread().name

    with pytest.raises(RuntimeError, match="new thread"):
        drive(portal.run(name))
    assert portal.loop is None
    assert drive(portal.run(name)) == "portal"
    portal.close()
