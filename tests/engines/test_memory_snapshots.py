"""Snapshots of the memory engine end, and what was kept for them goes, whoever drops them how."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.system import drive, system_components
from tests.engines.embedded.engines import writing
from tests.faults.interrupts import each_line


@pytest.fixture
def engine() -> Iterator[MemoryEngine]:
    engine = MemoryEngine(MemoryConfig(), system_components())
    drive(engine.open())
    yield engine
    drive(engine.close())


def put(engine: MemoryEngine) -> None:
    drive(engine.commit(Batch([Put(b"key", b"")])))


def keeps_nothing(engine: MemoryEngine, write: Callable[[MemoryEngine], object] = put) -> bool:
    write(engine)
    return not engine._state.past.tokens and not engine._state.past.rows


def decide(engine: MemoryEngine) -> None:
    drive(engine.transact([], writing(b"key")))


@pytest.mark.parametrize("write", [put, decide])
def test_the_past_is_kept_until_the_last_snapshot_is_dropped(
    engine: MemoryEngine, write: Callable[[MemoryEngine], object]
) -> None:
    put(engine)
    first, second = drive(engine.snapshot()), drive(engine.snapshot())
    put(engine)
    first.close()
    assert not keeps_nothing(engine)
    assert drive(engine.read([b"key"], at=second)) != drive(engine.read([b"key"]))
    del second
    gc.collect()
    assert keeps_nothing(engine, write)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_snapshot_interrupted_at_any_line_keeps_nothing(engine: MemoryEngine) -> None:
    def use() -> None:
        with drive(engine.snapshot()):
            put(engine)

    interrupted = sum(1 for _ in each_line(use))
    gc.collect()
    assert keeps_nothing(engine)
    assert interrupted > 10
