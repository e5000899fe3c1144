"""How much is measured: the sizes and durations of a run, and what a workload is handed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shim import Shim


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes and durations.

    Attributes:
        seed: every choice of keys, values and operations follows from it.
        rounds: how often each figure is taken; rounds of rivals are interleaved.
        measure_s: how long one figure of one round is taken for.
        records: how many each store holds, unless it is too slow to be filled so far.
        headline_chunk: calls of one chunk; chunks of the compared calls alternate.
        headline_rounds: how many chunks of each.
        overwrites: in the measurement of file growth.
        versions: of one key, at which the cost of a set is taken.
        key_counts: of a database, at which the cost of a set is taken.
        cost_sets: of one round of the measurement of a set's cost.
        survival_writes: acknowledged before the process is killed.
    """

    seed: int = 1
    rounds: int = 5
    measure_s: float = 0.2
    records: int = 100_000
    headline_chunk: int = 2_000
    headline_rounds: int = 25
    overwrites: int = 50_000
    versions: tuple[int, ...] = (10, 1_000, 100_000)
    key_counts: tuple[int, ...] = (10_000, 1_000_000)
    cost_sets: int = 500
    survival_writes: int = 200


FULL = Plan()
QUICK = Plan(
    rounds=2, measure_s=0.03, records=1_000, headline_chunk=300, headline_rounds=7,
    overwrites=2_000, versions=(10, 1_000), key_counts=(1_000, 10_000), cost_sets=100,
    survival_writes=50,
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What every workload is handed.

    Attributes:
        plan: sizes and durations.
        folder: an empty folder on the disk that is measured.
        memory_folder: one on a file system in memory, where a flush costs nothing; or None.
        shim: counts and delays flushes; None where there is no C compiler.
        with_peers: whether rivals take part.
    """

    plan: Plan
    folder: Path
    memory_folder: Path | None
    shim: Shim | None
    with_peers: bool

    def fresh(self, name: str, *, in_memory: bool = False) -> Path:
        """A new empty folder for one use."""
        base = self.memory_folder if in_memory else self.folder
        assert base is not None
        for number in range(1_000_000):
            folder = base / f"{name}-{number}"
            if not folder.exists():
                folder.mkdir(parents=True)
                return folder
        raise AssertionError("a run makes fewer folders than that")


def tell(progress: str) -> None:
    """Say on the error stream how far the run is."""
    print(progress, file=sys.stderr, flush=True)
