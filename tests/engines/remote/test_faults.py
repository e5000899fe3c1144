"""Faults of driver, server and machine: whoever waits hears of them, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Decide, Draft, Receipt
from holdfast.contract.errors import ConnectionLost
from holdfast.contract.record import Record
from holdfast.contract.runtime import Worker
from holdfast.engines.remote.portal import Portal
from holdfast.engines.remote.transport import Outcome
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


class AwayTransport(LoopbackTransport):
    """Its server cannot be reached by the first group that writes."""

    away = True

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        if self.away:
            await asyncio.sleep(0.05)
            AwayTransport.away = False
            raise ConnectionLost("the server is away")
        return await super().commit_many(batches, heads, since)


class AwayEngine(LoopbackEngine):
    def transport(self) -> LoopbackTransport:
        assert isinstance(self.config, LoopbackConfig)
        return AwayTransport(self.config)


def test_who_is_told_that_nothing_was_written_has_written_nothing(tmp_path: Path) -> None:
    """A write that was put off is not told of the failure of a group that went without it."""

    def writing(key: bytes, id: bytes | None) -> Decide:
        def decide(records: list[Record | None], revision: int) -> Draft:
            draft = Draft()
            draft.rows[key] = b""
            draft.id = id
            return draft

        return decide

    async def test() -> None:
        AwayTransport.away = True
        config = loopback_config(str(tmp_path), reconnect_timeout=0.01)
        engine = AwayEngine(config, system_components())
        await engine.open()
        try:
            # A batch with an id of its own ends what its group decides: the second is put off.
            outcomes = await asyncio.gather(
                engine.transact([b"first"], writing(b"first", b"id")),
                engine.transact([b"second"], writing(b"second", None)),
                return_exceptions=True,
            )
            await put(engine, b"last")
            written = [record is not None for record in await engine.read([b"first", b"second"])]
            assert written == [isinstance(outcome, Receipt) for outcome in outcomes]
            assert written == [False, True]
        finally:
            await engine.close()

    run(test)
