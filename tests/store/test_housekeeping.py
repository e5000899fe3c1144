"""The housekeeping thread: how it ends."""

from __future__ import annotations

import threading

from holdfast.runtime.system import SystemHost
from holdfast.store.housekeeping import Housekeeping


def test_threads_that_an_interrupt_started_twice_both_end() -> None:
    rounds = threading.Semaphore(0)

    async def work() -> float:
        rounds.release()
        return 1000.0

    housekeeping = Housekeeping(SystemHost(), work, lambda _: None)
    housekeeping.need()
    first = housekeeping._worker
    assert first is not None
    housekeeping._worker = None  # The interrupt came between the start and the note of it.
    housekeeping.need()
    second = housekeeping._worker
    assert second is not None
    assert second is not first
    assert rounds.acquire(timeout=20)
    assert rounds.acquire(timeout=20)
    housekeeping.stop()
    assert first.join(20)
    assert second.join(20)
