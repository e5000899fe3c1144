"""A process forks right after it wrote, while housekeeping has something to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.tidy import repository

FORKS = 20

#: Housekeeping that waits for a paused engine ends its round when the fork gives up on it, after
#: seconds. So its lock has to be the fork's own by the time that the engine is paused.
SCRIPT = f"""
import os, sys
import holdfast.sync
from holdfast.engines.lmdb import LmdbEngine
from holdfast.engines.sqlite import SqliteEngine
from holdfast.store import housekeeping

paused, at_rest = 0, 0

def watched(kind):
    original = kind.before_fork
    def before_fork(self):
        global paused, at_rest
        paused += 1
        kept = set(housekeeping._alive)
        assert any(one.running for one in kept)
        at_rest += set(housekeeping._paused) == kept
        return original(self)
    kind.before_fork = before_fork

watched(LmdbEngine)
watched(SqliteEngine)
with holdfast.sync.open(sys.argv[1]) as db:
    db.retention.keep_feed(changes_max=10)
    for number in range({FORKS}):
        db.entries.set(f"n:{{number}}", number, ttl=0.01)
        child = os.fork()
        if not child:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        db.entries.set("after", number)
    assert db.entries.require("after").value == {FORKS} - 1
    assert db.check() == []
print(paused, at_rest)
"""


@needs.fork
@pytest.mark.parametrize("url", ["sqlite:///{}/app.db", "lmdb:///{}/app"])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_no_round_is_under_way_when_the_engine_is_paused(
    tmp_path: Path, url: str, durability: str
) -> None:
    address = url.format(tmp_path) + f"?durability={durability}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT, address],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository.SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "", "no hook of a fork failed"
    assert done.stdout.split() == [str(FORKS)] * 2
