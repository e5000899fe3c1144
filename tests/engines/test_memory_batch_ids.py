"""The memory engine forgets the ids of batches in time, whatever the wall clock does meanwhile."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.runtime import ManualClock
from holdfast.engines.embedded.group import BATCH_ID_MS
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.system import drive
from tests.engines.sqlite_database import with_clock


def commit(engine: MemoryEngine, id: bytes | None) -> int:
    return drive(engine.commit(Batch([Put(b"key", b"")], id=id))).revision


@pytest.mark.parametrize("jump_ms", [BATCH_ID_MS + 1, 100 * BATCH_ID_MS])
def test_batch_ids_are_forgotten_after_some_minutes(jump_ms: int) -> None:
    clock = ManualClock()
    engine = MemoryEngine(MemoryConfig(), with_clock(clock))
    drive(engine.open())
    try:
        for number in range(5):
            assert commit(engine, b"%d" % number) == number + 1
            clock.advance(1)
        assert commit(engine, b"2") == 3, "repeated, hence not applied again"
        clock.advance(jump_ms / 1000)
        assert commit(engine, b"2") == 6, "its id is too old to mean the same batch"
        assert list(engine._state.batch_ids) == [b"2"]
    finally:
        drive(engine.close())


def test_a_wall_clock_that_was_wrong_for_a_while_keeps_no_batch_id() -> None:
    clock = ManualClock()
    engine = MemoryEngine(MemoryConfig(), with_clock(clock))
    drive(engine.open())
    try:
        wall = clock.now_ms()
        clock._now_ms = wall + 1000 * BATCH_ID_MS
        commit(engine, b"early")
        clock._now_ms = wall
        commit(engine, b"right")
        clock.advance(BATCH_ID_MS / 1000 + 1)
        commit(engine, b"late")
        assert list(engine._state.batch_ids) == [b"late"]
    finally:
        drive(engine.close())
