"""One process writes; whoever is refused is told who has the database open. Forks."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from holdfast.contract.errors import StoreLocked, WrongContext
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.lsm.lsm_database import (
    every_engine,
    every_mode,
    get,
    kill,
    make,
    opened,
    put,
    run_child,
    start_child,
)

HOLD = """
with opened(sys.argv[1], Path(sys.argv[2])) as engine:
    put(engine, b"from there")
    print("open", flush=True)
    sys.stdin.readline()
"""


@every_engine
def test_a_second_process_is_told_who_writes_until_that_is_killed(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "app"
    child = start_child(HOLD, name, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    try:
        for read_only in (False, True):
            with (
                pytest.raises(StoreLocked, match=f"process {child.pid}") as told,
                opened(name, path, lock_timeout=0.0, read_only=read_only),
            ):
                pass
            assert told.value.path == str(path)
    finally:
        kill(child)
    with opened(name, path) as engine:
        assert get(engine, b"from there") == b"value"


@every_engine
def test_two_engines_of_one_process_exclude_each_other(tmp_path: Path, name: str) -> None:
    with (
        opened(name, tmp_path / "app") as engine,
        pytest.raises(StoreLocked, match="another engine of this very process"),
        opened(name, tmp_path / "app", lock_timeout=0.0),
    ):
        put(engine, b"never")


@every_engine
def test_an_opening_waits_for_whoever_is_about_to_close(tmp_path: Path, name: str) -> None:
    first = make(name, tmp_path / "app")
    drive(first.open())
    put(first, b"a")
    closing = threading.Timer(0.2, lambda: drive(first.close()))
    closing.start()
    with opened(name, tmp_path / "app", lock_timeout=20.0) as engine:
        assert get(engine, b"a") == b"value"
    closing.join()


def test_several_read_rocksdb_and_nobody_writes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened("rocksdb", path) as engine:
        put(engine, b"a")
    with (
        opened("rocksdb", path, read_only=True) as one,
        opened("rocksdb", path, read_only=True) as other,
    ):
        assert get(one, b"a") == get(other, b"a") == b"value"
        with pytest.raises(StoreLocked), opened("rocksdb", path, lock_timeout=0.0):
            pass


# --- Forks ------------------------------------------------------------------------------------

FORK = """
import signal
engine = make(sys.argv[1], Path(sys.argv[2]))
drive(engine.open())
put(engine, b"before")
snapshot = drive(engine.snapshot())
child = os.fork()
if child == 0:
    signal.pause()
drive(engine.close())
print(child, flush=True)
"""


@needs.fork
@every_engine
def test_a_child_that_lives_on_does_not_keep_the_lock(tmp_path: Path, name: str) -> None:
    parent = start_child(FORK, name, tmp_path / "app")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.wait(20)
        with opened(name, tmp_path / "app", lock_timeout=0.0) as engine:
            assert get(engine, b"before") == b"value"
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


FORK_AND_END = """
from holdfast.contract.errors import WrongContext
engine = make(sys.argv[1], Path(sys.argv[2]))
drive(engine.open())
put(engine, b"before", b"1")
snapshot = drive(engine.snapshot())
child = os.fork()
if child == 0:
    for call in (lambda: get(engine, b"before"), lambda: put(engine, b"before", b"2")):
        try:
            call()
        except WrongContext:
            print("refused", flush=True)
    drive(engine.close())
    del engine, snapshot
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
put(engine, b"after", b"3")
print(get(engine, b"before"), get(engine, b"after"), drive(engine.check()))
drive(engine.close())
"""


@needs.fork
@every_mode
def test_a_child_is_refused_and_ends_like_any_process(tmp_path: Path, name: str) -> None:
    """The driver's own end would wait for threads that a child does not have."""
    said = run_child(FORK_AND_END, name, tmp_path / "app")
    assert said.splitlines() == ["refused", "refused", "3", "b'1' b'3' []"]


FORK_INSIDE = """
from holdfast.contract.batch import Draft
from holdfast.contract.errors import WrongContext
engine = make(sys.argv[1], Path(sys.argv[2]))
drive(engine.open())

def decide(records, revision):
    draft = Draft()
    draft.rows[b"key"] = b"child" if os.fork() == 0 else b"parent"
    if draft.rows[b"key"] == b"parent":
        os.wait()
    return draft

try:
    drive(engine.transact([b"key"], decide))
except WrongContext:
    os._exit(0)
print(get(engine, b"key").decode(), drive(engine.check()))
drive(engine.close())
"""


@needs.fork
@every_engine
def test_a_fork_inside_a_decision_leaves_the_log_to_the_parent(tmp_path: Path, name: str) -> None:
    assert run_child(FORK_INSIDE, name, tmp_path / "app") == "parent []\n"
    with opened(name, tmp_path / "app") as engine:
        assert get(engine, b"key") == b"parent"


@needs.fork
@every_engine
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_that_the_driver_stays_with_its_parent(
    tmp_path: Path, name: str
) -> None:
    """Opened there, it would hand work to threads that do not exist, and wait for ever."""
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"a")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                drive(make(name, tmp_path / "other").open())
            except WrongContext as error:
                code = 0 if "spawn" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        put(engine, b"after")
        assert drive(engine.check()) == []
