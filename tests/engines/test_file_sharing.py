"""One process writes, or several read; whoever is refused is told who has the database open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdfast.contract.errors import StoreLocked, WrongContext
from holdfast.runtime.system import drive
from tests.engines.file_database import (
    contents,
    get,
    kill,
    make,
    opened,
    put,
    run_child,
    start_child,
)

HOLD = """
with opened(Path(sys.argv[1]), read_only=len(sys.argv) > 2) as engine:
    print("open", flush=True)
    sys.stdin.readline()
"""


def _holding(path: Path, *arguments: str) -> subprocess.Popen[str]:
    child = start_child(HOLD, path, *arguments)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


@pytest.mark.row("E-066", "E-068")
@pytest.mark.parametrize("read_only", [False, True])
def test_a_second_process_is_told_who_writes(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a")
    child = _holding(path)
    try:
        with (
            pytest.raises(StoreLocked, match=f"process {child.pid}") as told,
            opened(path, read_only=read_only, lock_timeout=0.0),
        ):
            pass
        assert told.value.found is not None
        assert told.value.path == str(path)
    finally:
        kill(child)
    with opened(path, read_only=read_only) as engine:
        assert get(engine, b"a") == b"value"


def test_the_holder_is_named_where_the_system_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.engines.embedded import lock

    monkeypatch.setattr(lock, "_LOCKS", tmp_path / "nothing")
    child = _holding(tmp_path / "app")
    try:
        with pytest.raises(StoreLocked, match=f"process {child.pid} on "), opened(tmp_path / "app"):
            pass
    finally:
        kill(child)


def test_several_read_and_nobody_writes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a")
    child = _holding(path, "reads")
    try:
        with opened(path, read_only=True) as engine:
            assert get(engine, b"a") == b"value"
        with pytest.raises(StoreLocked, match=f"process {child.pid}"), opened(path):
            pass
    finally:
        kill(child)


def test_an_opening_waits_for_whoever_is_about_to_close(tmp_path: Path) -> None:
    path = tmp_path / "app"
    first = make(path)
    drive(first.open())
    put(first, b"a")
    closing = threading.Timer(0.2, lambda: drive(first.close()))
    closing.start()
    with opened(path, lock_timeout=20.0) as engine:
        assert get(engine, b"a") == b"value"
    closing.join()


def test_two_engines_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with opened(tmp_path / "app"):
        with (
            pytest.raises(StoreLocked, match="another engine of this very process"),
            opened(tmp_path / "app", lock_timeout=0.0),
        ):
            pass
        with pytest.raises(StoreLocked), opened(tmp_path / "app", read_only=True, lock_timeout=0.0):
            pass


def test_a_database_that_nobody_may_write_is_read(tmp_path: Path) -> None:
    """Media for reading only have no lock file to open, and nobody to lock out."""
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a")
    (path / "lock").unlink()
    before = sorted(path.iterdir())
    with opened(path, read_only=True) as engine:
        assert get(engine, b"a") == b"value"
        assert drive(engine.check()) == []
        assert not engine.stale()
    assert sorted(path.iterdir()) == before


# --- Forks ------------------------------------------------------------------------------------

FORK = """
import os
engine = make(Path(sys.argv[1]))
drive(engine.open())
put(engine, b"before")
child = os.fork()
if child == 0:
    signal.pause()
drive(engine.close())
print(child, flush=True)
"""


def test_a_child_that_lives_on_does_not_keep_the_lock(tmp_path: Path) -> None:
    parent = start_child(FORK, tmp_path / "app")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.wait(20)
        with opened(tmp_path / "app", lock_timeout=0.0) as engine:
            assert get(engine, b"before") == b"value"
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


FORK_INSIDE = """
import os
from holdfast.contract.batch import Draft
engine = make(Path(sys.argv[1]))
drive(engine.open())
put(engine, b"before")

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


def test_a_fork_inside_a_decision_leaves_the_journal_to_the_parent(tmp_path: Path) -> None:
    imports = "from holdfast.contract.errors import WrongContext\n"
    answer = run_child(imports + FORK_INSIDE, tmp_path / "app")
    assert answer.stdout == "parent []\n", answer.stderr
    with opened(tmp_path / "app") as engine:
        assert contents(engine) == {b"before": b"value", b"key": b"parent"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_refused_and_opens_another(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"a")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                drive(engine.read([b"a"]))
            except WrongContext:
                with opened(tmp_path / "other") as other:
                    put(other, b"b")
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        put(engine, b"after")
        assert drive(engine.check()) == []


def test_a_program_that_is_started_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"a")
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with opened(tmp_path / "app", lock_timeout=0.0):
            pass
    finally:
        child.kill()
        child.communicate()
