"""Real Ctrl-C: signals sent into a process that uses every view of a database."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Event

import pytest

import holdfast.sync
from tests.faults.modes import MODES, url_of

ROOT = Path(__file__).parents[2]
#: How long the child may take from one line to the next.
PATIENCE_S = 15
#: One that comes while an object is collected reaches nobody, so it is sent again.
AGAIN_S = 1.5
INTERRUPTS, INTERRUPTS_TORTURE = 30, 300


def interrupt_child(url: str, interrupts: int, seed: int) -> dict[str, int | None]:
    """Run the child with so many signals at random moments; what it says must be there."""
    child = subprocess.Popen(
        [
            sys.executable, "-W", "error", "-W", "ignore:coroutine", "-W", "ignore:unclosed",
            "-m", "tests.faults.interrupted_child", url, str(interrupts), str(seed),
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))),
            "PYTHONFAULTHANDLER": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    random, pause = Random(seed), Event()
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for count in range(interrupts):
            pause.wait(random.uniform(0, 0.02))
            for _ in range(round(PATIENCE_S / AGAIN_S)):
                child.send_signal(signal.SIGINT)
                if select.select([child.stdout], [], [], AGAIN_S)[0]:
                    break
            else:
                child.send_signal(signal.SIGABRT)  # It says where each thread stands.
            assert child.stdout.readline() == f"{count}\n", f"seed {seed}"
        known: dict[str, int | None] = json.loads(child.communicate(timeout=PATIENCE_S)[0])
        assert child.returncode == 0
        return known
    finally:
        child.kill()
        child.communicate()


def interrupted(mode: str, folder: Path, interrupts: int) -> None:
    url = url_of(mode, folder)
    known = interrupt_child(url, interrupts, seed=interrupts + list(MODES).index(mode))
    if mode == "memory":
        return
    with holdfast.sync.open(url) as db:
        assert db.check() == []
        found = {key: db.entries.get(key) for key in known}
        assert {key: None if one is None else one.value for key, one in found.items()} == known


# Among the long runs: the moments are those of the system's clock, so no two runs are alike.
# `test_interrupted_databases.py` interrupts at chosen lines in every run of the tests.
@pytest.mark.torture
@pytest.mark.parametrize("mode", MODES)
def test_a_process_outlives_interrupts_at_random_moments(mode: str, quick: Path) -> None:
    interrupted(mode, quick, INTERRUPTS)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
def test_a_process_outlives_three_hundred_interrupts(mode: str, quick: Path) -> None:
    interrupted(mode, quick, INTERRUPTS_TORTURE)
