"""Random operations amid cancellations, interrupts, raising code, forks and lost files."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from holdfast.store.opened import _registry
from tests.faults.modes import MODES
from tests.faults.trails import run_for, shrink
from tests.store.random_operations import Step

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    # Dropped by an interrupt between its making and its first owner, and closed by that.
    pytest.mark.filterwarnings("ignore:unclosed file"),
    # An interrupted opening may leave an engine to the collector.
    pytest.mark.filterwarnings("ignore:the database .* was never closed"),
]

#: For all modes together.
SECONDS, SECONDS_TORTURE = 30.0, 600.0
#: However busy the machine is.
STEPS_MIN = 20


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def leave_nothing(mode: str, seed: int, seconds: float, folder: Path) -> None:
    before = descriptors()
    run_for(mode, seed, seconds, folder, STEPS_MIN)
    for _ in range(200):
        gc.collect()
        threads = [one for one in threading.enumerate() if one.name.startswith("holdfast")]
        if not threads and descriptors() <= before:
            break
        threading.Event().wait(0.02)
    assert not threads
    assert descriptors() <= before
    assert not _registry


@pytest.mark.parametrize("mode", MODES)
def test_random_faults_leave_what_they_should(mode: str, quick: Path) -> None:
    leave_nothing(mode, 1, SECONDS / len(MODES), quick)


@pytest.mark.torture
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", MODES)
def test_ten_minutes_of_random_faults_leave_what_they_should(mode: str, quick: Path) -> None:
    leave_nothing(mode, 1_000, SECONDS_TORTURE / len(MODES), quick)


def test_a_failing_trail_is_shortened() -> None:
    trail: list[Step] = [("look", n) for n in range(40)]
    needed = {("look", 3), ("look", 31)}
    tries = 0

    def failure(steps: list[Step]) -> BaseException | None:
        nonlocal tries
        tries += 1
        return ValueError("both") if needed <= set(steps) else None

    short, last = shrink(trail, failure)
    assert set(short) == needed
    assert isinstance(last, ValueError)
    assert tries < 100
    assert shrink(trail, lambda _: None) == (trail, None)
