"""Faults that take several processes, or many writes: trims at once, and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import pytest

import holdfast.sync
from holdfast.contract.record import Range
from holdfast.runtime.system import drive
from holdfast.store import layout
from holdfast.store.versions.trimming import _decode_counted
from tests.faults.modes import url_of

ROOT = Path(__file__).parents[2]
PROCESSES, WRITES, KEPT_CHANGES = 3, 100, 150

TRIMMER = textwrap.dedent(
    """
    import sys
    import holdfast.sync
    with holdfast.sync.open(sys.argv[1], housekeeping=False) as db:
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(int(sys.argv[3])):
            db.entries.set(f"{sys.argv[2]}:{n % 7}", n)
            if n % 10 == 9:
                db.retention.trim()
    """
)


@pytest.mark.parametrize("mode", ["lmdb", "lmdb relaxed", "sqlite", "sqlite relaxed"])
def test_processes_that_trim_at_once_keep_what_is_to_be_kept(mode: str, quick: Path) -> None:
    url = url_of(mode, quick)
    with holdfast.sync.open(url, housekeeping=False) as db:
        db.retention.keep_feed(changes_max=KEPT_CHANGES)
        since = db.revision
    trimmers = [
        subprocess.Popen(
            [sys.executable, "-c", TRIMMER, url, f"p{number}", str(WRITES)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for one in trimmers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    oldest = 0
    with holdfast.sync.open(url, housekeeping=False) as db:
        feed = db._inner._require_shared().feed
        for one in trimmers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        while any(one.poll() is None for one in trimmers):
            now = drive(feed.oldest())
            assert now >= oldest, "the feed was turned back"
            oldest = now
        for one in trimmers:
            one.communicate()
            assert one.returncode == 0
        db.retention.trim()
        engine = db._inner._require_shared().engine
        rows = drive(engine.scan(Range.prefix(layout.FEED))).rows
        [counted] = drive(engine.read([layout.SYSTEM_FEED_COUNTED]))
        assert counted is not None
        assert len(rows) == _decode_counted(counted.value).rows == KEPT_CHANGES
        assert db.head() >= since + PROCESSES * WRITES
        assert db.check() == []


def test_overwriting_one_key_of_a_database_in_memory_takes_no_memory() -> None:
    with holdfast.sync.open("memory://", housekeeping=False) as db:
        db.retention.keep("", versions=0)
        db.retention.keep_feed(changes_max=100)

        def overwrite(times: int) -> None:
            for n in range(times):
                db.entries.set("a", {"n": n, "text": "x" * 1000})
            db.compact()

        overwrite(1_000)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            overwrite(3_000)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 2**20
        assert db.check() == []
