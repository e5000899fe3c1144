"""One process holds the lease of a database, and another takes it over when that one is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from holdfast.contract.batch import Batch, Delete
from holdfast.contract.errors import ConnectionLost, InvalidInput
from holdfast.contract.runtime import ManualClock
from holdfast.engines.remote.lease import BELIEVE_PART, LEASE_S, RENEW_PART, Lease
from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer
from holdfast.runtime.system import system_components
from tests.engines.remote.loopback_engine import LoopbackEngine, loopback_config

KEY = b"housekeeping"


class Machine:
    """A process's view: an engine on the database, and a clock of its own."""

    def __init__(self, database: str, *faults: Fault) -> None:
        # Clocks of machines do not agree.
        self.clock = ManualClock(now_ms=hash(self) % 10**12)
        self.clock.advance(id(self) % 1000)
        components = replace(system_components(), clock=self.clock)
        self.engine = FaultsLayer(
            LoopbackEngine(loopback_config(database), components), FaultPlan(faults)
        )
        self.lease = Lease(self.engine, KEY)

    async def __aenter__(self) -> Self:
        await self.engine.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_one_of_many_holds_it(tmp_path: Path) -> None:
    async def test() -> None:
        machines = [Machine(str(tmp_path)) for _ in range(8)]
        async with contextlib.AsyncExitStack() as stack:
            for one in machines:
                await stack.enter_async_context(one)
            held = await asyncio.gather(*(one.lease.hold() for one in machines))
            assert sum(held) == 1
            assert [one.lease.held for one in machines] == held
            for _ in range(3):
                assert await asyncio.gather(*(one.lease.hold() for one in machines)) == held

    run(test)


def test_a_holder_that_is_gone_is_replaced_once_its_time_is_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with Machine(str(tmp_path)) as first, Machine(str(tmp_path)) as second:
            assert await first.lease.hold()
            assert not await second.lease.hold()
            second.clock.advance(LEASE_S * 0.99)
            assert not await second.lease.hold()
            second.clock.advance(LEASE_S * 0.02)
            assert await second.lease.hold()
            # The first, whose clock stood still, is told when it renews.
            first.clock.advance(LEASE_S * RENEW_PART)
            assert not await first.lease.hold()
            assert not first.lease.held

    run(test)


def test_a_holder_that_renews_keeps_it_whatever_the_walls_say(tmp_path: Path) -> None:
    async def test() -> None:
        async with Machine(str(tmp_path)) as first, Machine(str(tmp_path)) as second:
            assert await first.lease.hold()
            for number in range(12):
                for one in (first, second):
                    one.clock.advance(LEASE_S * 0.4)
                first.clock.advance(-86_400 * (number % 3))  # The wall steps back, days at a time.
                assert await first.lease.hold()
                assert not await second.lease.hold()

    run(test)


def test_nobody_believes_to_hold_it_when_another_may(tmp_path: Path) -> None:
    async def test() -> None:
        async with Machine(str(tmp_path)) as first, Machine(str(tmp_path)) as second:
            assert await first.lease.hold()
            assert not await second.lease.hold()
            for one in (first, second):
                one.clock.advance(LEASE_S * BELIEVE_PART)
            assert not first.lease.held
            assert not await second.lease.hold()
            second.clock.advance(LEASE_S * (1.01 - BELIEVE_PART))
            assert await second.lease.hold()

    run(test)


def test_holding_on_asks_nobody_until_it_is_due(tmp_path: Path) -> None:
    async def test() -> None:
        async with Machine(str(tmp_path)) as one:
            for _ in range(100):
                assert await one.lease.hold()
            assert one.engine.calls["transact"] == 1
            one.clock.advance(LEASE_S * RENEW_PART)
            assert await one.lease.hold()
            assert one.engine.calls["transact"] == 2

    run(test)


def test_what_is_released_is_free_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with Machine(str(tmp_path)) as first, Machine(str(tmp_path)) as second:
            assert await first.lease.hold()
            await second.lease.release()  # It is not its own to give.
            assert not await second.lease.hold()
            await first.lease.release()
            await first.lease.release()
            assert not first.lease.held
            assert await second.lease.hold()

    run(test)


def test_a_row_that_vanished_is_taken_by_whoever_comes(tmp_path: Path) -> None:
    async def test() -> None:
        async with Machine(str(tmp_path)) as first, Machine(str(tmp_path)) as second:
            assert await first.lease.hold()
            await second.engine.commit(Batch([Delete(KEY)]))
            assert await second.lease.hold()
            first.clock.advance(LEASE_S * RENEW_PART)
            assert not await first.lease.hold()

    run(test)


def test_a_renewal_that_fails_ends_nothing_before_its_time(tmp_path: Path) -> None:
    async def test() -> None:
        lost = Fault("transact", on=2, error=ConnectionLost("planned"))
        async with Machine(str(tmp_path), lost) as one:
            assert await one.lease.hold()
            one.clock.advance(LEASE_S * RENEW_PART)
            with pytest.raises(ConnectionLost):
                await one.lease.hold()
            assert one.lease.held
            assert await one.lease.hold()

    run(test)


@pytest.mark.parametrize("seconds", [0, -1.0])
def test_a_lease_of_no_time_is_refused(seconds: float) -> None:
    engine = LoopbackEngine(loopback_config("none"), system_components())
    with pytest.raises(InvalidInput, match="longer than 0 seconds"):
        Lease(engine, KEY, seconds=seconds)
