"""Planned faults happen as planned, and a write whose outcome is unknown is safe to repeat."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import get_args

import pytest

from holdfast.contract.batch import Append, Batch, Put
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConnectionLost, InvalidInput, OutcomeUnknown
from holdfast.contract.layering import Verb
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.engines.sqlite import SqliteConfig, SqliteEngine
from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer
from holdfast.runtime.system import drive, system_components
from holdfast.testing import EngineContract

ENGINES = ("memory", "lmdb", "sqlite")


class TestWithoutFaults(EngineContract):
    """A stack with a layer that has nothing planned keeps every promise of the engine."""

    engine_type = MemoryEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        return FaultsLayer(MemoryEngine(config, components), FaultPlan())


class TestWithoutFaultsOnLmdb(EngineContract):
    engine_type = LmdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return LmdbConfig(path=folder / "database")

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        return FaultsLayer(LmdbEngine(config, components), FaultPlan())


def make(name: str, folder: Path, plan: FaultPlan) -> FaultsLayer:
    components = system_components()
    if name == "lmdb":
        return FaultsLayer(LmdbEngine(LmdbConfig(path=folder / "app"), components), plan)
    if name == "sqlite":
        return FaultsLayer(SqliteEngine(SqliteConfig(path=folder / "app"), components), plan)
    return FaultsLayer(MemoryEngine(MemoryConfig(), components), plan)


def value_of(engine: Engine, key: bytes) -> bytes | None:
    record: Record | None
    [record] = drive(engine.read([key]))
    return None if record is None else record.value


def test_a_fault_before_the_call_leaves_nothing_and_one_after_it_everything(
    tmp_path: Path,
) -> None:
    plan = FaultPlan(
        (
            Fault("commit", on=1, error=ConnectionLost("planned")),
            Fault("commit", on=3, error=OutcomeUnknown("planned"), after=True),
            Fault("read", on=2, error=ConnectionLost("planned")),
        )
    )
    engine = make("memory", tmp_path, plan)
    drive(engine.open())
    with pytest.raises(ConnectionLost, match="planned"):
        drive(engine.commit(Batch([Put(b"k", b"1")])))
    assert value_of(engine, b"k") is None
    with pytest.raises(ConnectionLost, match="planned"):
        value_of(engine, b"k")
    assert drive(engine.commit(Batch([Put(b"k", b"2")]))).revision == 1
    with pytest.raises(OutcomeUnknown, match="planned"):
        drive(engine.commit(Batch([Put(b"k", b"3")])))
    assert value_of(engine, b"k") == b"3"
    assert engine.calls == {"open": 1, "commit": 3, "read": 3}
    drive(engine.close())


@pytest.mark.parametrize(
    "verb",
    get_args(Verb),
)
def test_every_verb_can_fail(tmp_path: Path, verb: Verb) -> None:
    engine = make("lmdb", tmp_path, FaultPlan((Fault(verb, 1, ConnectionLost("planned")),)))
    calls = {
        "open": engine.open,
        "close": engine.close,
        "head": engine.head,
        "read": lambda: engine.read([b"k"]),
        "scan": lambda: engine.scan(Range()),
        "commit": lambda: engine.commit(Batch([Put(b"k", b"")])),
        "transact": lambda: engine.transact([], lambda records, revision: None),
        "snapshot": engine.snapshot,
        "wait": lambda: engine.wait(-1),
        "compact": engine.compact,
        "check": engine.check,
        "load": lambda: engine.load([], next_revision=7),
    }
    if verb != "open":
        drive(engine.open())
    with pytest.raises(ConnectionLost, match="planned"):
        drive(calls[verb]())  # type: ignore[no-untyped-call]
    if verb == "open":
        drive(engine.open())
    drive(calls[verb]()) if verb not in ("open", "snapshot") else None  # type: ignore[no-untyped-call]
    drive(engine.close())


async def _append_all(engine: Engine, writers: int, each: int, *, with_ids: bool) -> int:
    """Every writer appends rows one by one, and repeats what failed; how often that was."""
    repeated = 0
    ids = engine.components.ids

    async def write(transacts: bool) -> None:
        nonlocal repeated
        for _ in range(each):
            batch = Batch([Append(b"log", b"row")], id=ids.new() if with_ids else None)
            while True:
                try:
                    if transacts:
                        await engine.transact([], lambda records, revision, batch=batch: batch)  # type: ignore[misc]
                    else:
                        await engine.commit(batch)
                    break
                except (ConnectionLost, OutcomeUnknown):
                    repeated += 1

    await asyncio.gather(*(write(number % 2 == 0) for number in range(writers)))
    return repeated


async def _rows(engine: Engine) -> int:
    count = 0
    rest: Range | None = Range.prefix(b"log")
    while rest is not None:
        page = await engine.scan(rest)
        count += len(page.rows)
        rest = page.resume
    return count


def _plan(seed: int) -> FaultPlan:
    return FaultPlan.seeded(random.Random(seed).random, calls=2000, before=0.15, after=0.25)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ENGINES)
def test_a_repeated_batch_with_an_id_is_applied_once(tmp_path: Path, name: str, seed: int) -> None:
    async def main() -> None:
        engine = make(name, tmp_path, _plan(seed))
        await engine.open()
        repeated = await _append_all(engine, 8, 25, with_ids=True)
        assert repeated > 40, "the plan did fail calls"
        assert await _rows(engine) == 8 * 25
        assert await engine.head() == 8 * 25
        await engine.close()

    asyncio.run(main())


def test_without_an_id_a_repeated_batch_is_applied_again(tmp_path: Path) -> None:
    """What the test above would see if ids did nothing."""

    async def main() -> None:
        engine = make("memory", tmp_path, _plan(0))
        await engine.open()
        await _append_all(engine, 8, 25, with_ids=False)
        assert await _rows(engine) > 8 * 25
        await engine.close()

    asyncio.run(main())


def test_the_same_seed_plans_the_same_faults() -> None:
    def places(plan: FaultPlan) -> list[tuple[str, int, bool]]:
        return [(fault.verb, fault.on, fault.after) for fault in plan.faults]

    assert places(_plan(1)) == places(_plan(1)) != places(_plan(2))
    assert {fault.verb for fault in _plan(1).faults} == {"commit", "transact"}
    share = len(_plan(1).faults) / 4000
    assert 0.35 < share < 0.45


class Slept:
    """A runtime's sleep that takes no time and moves the clock."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        runtime = type(engine.components.host.runtime())
        monkeypatch.setattr(runtime, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_a_slow_call_is_slow_and_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        engine = make("memory", tmp_path, FaultPlan((Fault("read", on=2, delay_s=3.5),)))
        await engine.open()
        await engine.commit(Batch([Put(b"k", b"1")]))
        slept = Slept(engine, monkeypatch)
        for _ in range(3):
            assert await engine.read([b"k"]) == [Record(b"1", 1)]
        assert slept.seconds == [3.5]

    asyncio.run(main())


def test_writes_wait_for_flushes_and_share_them() -> None:
    """One flush at a time; who comes while one runs shares the next with all others who do."""
    from holdfast.contract.runtime import ManualClock
    from holdfast.layers.faults import _Flushes

    clock = ManualClock()
    flushes = _Flushes(2.0, clock)
    assert flushes.wait_s() == 2.0
    clock.advance(0.5)
    assert flushes.wait_s() == 3.5, "the rest of the first and the whole second"
    clock.advance(1.0)
    assert flushes.wait_s() == 2.5, "shares the second"
    clock.advance(1.0)
    assert flushes.wait_s() == 3.5, "the second runs, the third is shared"
    clock.advance(100.0)
    assert flushes.wait_s() == 2.0


def test_a_flush_is_shared_by_tasks_and_paid_by_each_caller_alone(tmp_path: Path) -> None:
    """64 tasks need two or three flushes, one task after the other 64: no matter how fast."""

    async def main() -> None:
        engine = make("memory", tmp_path, FaultPlan(flush_s=0.01))
        await engine.open()
        clock = engine.components.clock
        start = clock.monotonic()
        await asyncio.gather(*(engine.commit(Batch([Put(b"k", b"")])) for _ in range(64)))
        together = clock.monotonic() - start
        start = clock.monotonic()
        for _ in range(16):
            await engine.commit(Batch([Put(b"k", b"")]))
        alone = clock.monotonic() - start
        assert alone >= 16 * 0.01
        assert together / 64 < alone / 16
        await engine.close()

    asyncio.run(main())


def test_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="counted from 1"):
        Fault("commit", on=0)
    with pytest.raises(InvalidInput, match="0 seconds or more"):
        Fault("commit", on=1, delay_s=-1)
