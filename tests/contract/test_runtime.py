"""Clocks and ids."""

import threading
from concurrent.futures import ThreadPoolExecutor

from holdfast.contract.runtime import ManualClock, SystemClock, SystemIds

THREADS = 8
IDS_EACH = 4_000


def test_ids_are_unique_over_threads_and_makers() -> None:
    clock = ManualClock()
    makers = [SystemIds(clock), SystemIds(clock)]
    start = threading.Barrier(THREADS)

    def make(worker: int) -> list[bytes]:
        start.wait(10)
        return [makers[worker % 2].new() for _ in range(IDS_EACH)]

    with ThreadPoolExecutor(THREADS) as pool:
        made = [one for ids in pool.map(make, range(THREADS)) for one in ids]
    assert {len(one) for one in made} == {16}
    assert len(set(made)) == THREADS * IDS_EACH


def test_later_ids_sort_behind_earlier_ones() -> None:
    clock = ManualClock()
    ids = SystemIds(clock)
    made = []
    for _ in range(100):
        made.append(ids.new())
        clock.advance(0.001)
    assert made == sorted(made)


def test_a_manual_clock_moves_when_told_and_only_its_wall_steps_back() -> None:
    clock = ManualClock(now_ms=5_000)
    assert (clock.now_ms(), clock.monotonic()) == (5_000, 0.0)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (6_500, 1.5)
    clock.advance(-10)
    assert (clock.now_ms(), clock.monotonic()) == (-3_500, 1.5)


def test_the_machines_clock_counts_milliseconds_since_1970() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert 1_700_000_000_000 < clock.now_ms() < 10_000_000_000_000
    assert clock.monotonic() >= before
