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


#: Threads of the parent write and read: one of them holds what guards the rows at many a fork.
INHERITED = f"""
import os, signal, threading
import holdfast.sync
from holdfast.contract.errors import WrongContext
from holdfast.documents import F

with holdfast.sync.open("memory://", housekeeping=False) as db:
    things = db.collection("things")
    things.set_many({{f"k{{number:03}}": {{"n": number}} for number in range(300)}})
    things.on("change", lambda _: None)
    over = threading.Event()

    def busy():
        while not over.is_set():
            things.get_many([f"k{{number:03}}" for number in range(300)])
            list(things.keys())
            things.set("w", {{"n": 1}})

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        for _ in range({3 * FORKS}):
            own = things.begin_transaction()
            own.set("a", {{"n": 1}})
            both = db.transaction().begin()
            both.entries.set("a", 1)
            view = db.snapshot()
            walk = things.query(F.n >= 0)
            next(walk)
            child = os.fork()
            if not child:
                signal.alarm(10)  # It would wait for ever.
                code = 0
                for call in (own.commit, both.commit):
                    try:
                        call()
                        code = 1
                    except WrongContext:
                        pass
                view.close()
                walk.close()
                del walk, view
                os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            own.rollback()
            both.rollback()
            view.close()
            walk.close()
    finally:
        over.set()
        for one in threads:
            one.join()
    assert db.check() == []
"""


@needs.fork
def test_what_is_inherited_of_a_database_in_memory_keeps_no_child_waiting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INHERITED], timeout=50, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(repository.SOURCE)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
