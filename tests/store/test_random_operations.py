"""Everything at once: entries, stores, transactions, watches, retention and drops, with faults."""

from __future__ import annotations

import threading

import pytest

from holdfast.store.opened import _registry
from tests.store.random_operations import work
from tests.store.scene import Scene, until

STEPS = 300
STEPS_TORTURE = 3000


@pytest.mark.parametrize("seed", [1, 14])
async def test_random_operations_leave_what_they_should(scene: Scene, seed: int) -> None:
    await _leave_nothing_else(scene, seed, STEPS)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 110))
async def test_many_random_operations_leave_what_they_should(scene: Scene, seed: int) -> None:
    await _leave_nothing_else(scene, seed, STEPS_TORTURE)


async def _leave_nothing_else(scene: Scene, seed: int, steps: int) -> None:
    done = await work(scene, seed, steps)
    assert len(done.done) > 12
    assert not _registry
    await until(
        lambda: not [one for one in threading.enumerate() if one.name.startswith("holdfast")]
    )
