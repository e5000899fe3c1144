"""How far a standby, and shipped backups, lag behind their source.

    python -m benchmarks.loss_window [ENTRIES]

A writer commits one entry after the other; a follower in another process tells when it has each
revision. What a lost source would lose is what was committed in the time between.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import holdfast.sync

FOLLOWER = """
import sys, time, holdfast.sync
from pathlib import Path

def told(one):
    print(one.revision, time.monotonic(), bool(one.reason), one.seconds, flush=True)

target = sys.argv[2] if "://" in sys.argv[2] else Path(sys.argv[2])
holdfast.sync.follow(sys.argv[1], target, interval=float(sys.argv[3]), progress=told)
"""
WRITES, PAUSE_S = 30, 0.1


def lags(source: str, target: str, interval_s: float) -> tuple[list[float], float, float]:
    """(seconds from commit to standby, of the first round, median of the later rounds)."""
    with (
        holdfast.sync.open(source) as db,
        subprocess.Popen(
            [sys.executable, "-c", FOLLOWER, source, target, str(interval_s)],
            stdout=subprocess.PIPE, text=True,
        ) as follower,
    ):  # fmt: skip
        try:
            assert follower.stdout is not None
            first = float(follower.stdout.readline().split()[3])
            committed: dict[int, float] = {}
            for number in range(WRITES):
                entry = db.entries.set(f"late:{number}", {"n": number})
                committed[entry.revision] = time.monotonic()
                time.sleep(PAUSE_S)
            found: list[float] = []
            seconds: list[float] = []
            waiting = sorted(committed)
            while waiting:
                revision, at, _, took = follower.stdout.readline().split()
                seconds.append(float(took))
                while waiting and waiting[0] <= int(revision):
                    found.append(float(at) - committed[waiting.pop(0)])
        finally:
            follower.kill()  # It follows for ever, and leaving the block waits for its end.
    return found, first, statistics.median(seconds)


def main(entries: int) -> None:
    print(f"| {entries:,} entries to | interval | first round | a round | lag: median | most |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, interval_s in (("sqlite", 1.0), ("sqlite", 0.05), ("a directory", 1.0)):
        with tempfile.TemporaryDirectory() as folder:
            source = f"lmdb:///{folder}/source"
            with holdfast.sync.open(source) as db:
                for start in range(0, entries, 1_000):
                    part = range(start, min(start + 1_000, entries))
                    db.entries.set_many({f"k:{n}": {"text": f"{n} " * 150} for n in part})
            place = f"{name}:///{folder}/standby" if name == "sqlite" else str(Path(folder) / "out")
            found, first, later = lags(source, place, interval_s)
            print(
                f"| {name} | {interval_s:g} s | {first:.2f} s | {later * 1000:.0f} ms "
                f"| {statistics.median(found):.2f} s | {max(found):.2f} s |"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
