"""A journal beside other processes: who comes sees everything, and who cannot is told."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.contract.errors import ConfigInvalid, FormatTooNew, IntegrityFailed, Unsupported
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine, byte_locks, facts
from holdfast.engines.lmdb.locks import ProcessLocks
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.journal.journal_database import (
    SMALL,
    crashed,
    fact_of,
    is_on,
    journaling,
    put_many,
    stored,
)
from tests.engines.lmdb_database import (
    child,
    child_command,
    driver,
    get,
    opened,
    put,
    run_child,
)

pytestmark = pytest.mark.row("K-022", "trap 16")

PREAMBLE = """
from tests.engines.journal.journal_database import *
hurry()
path = Path(sys.argv[1])
"""
LOOK = """
with opened(path, read_only=len(sys.argv) > 2) as engine:
    print(get(engine, b"all").decode(), drive(engine.head()), engine.lineage)
"""
HOLDER = """
with journaling(path) as engine:
    put_many(engine, 0, 5)
    assert is_on(engine)
    print("ready", flush=True)
    for line in sys.stdin:
        put_many(engine, int(line), int(line) + 1)
        print(is_on(engine), flush=True)
"""


def _look(path: Path, *arguments: object) -> list[str]:
    answer = run_child(PREAMBLE + LOOK, path, *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


@pytest.mark.parametrize("way", [(), ("reading",)])
def test_whoever_opens_sees_what_was_told_last(tmp_path: Path, way: tuple[str, ...]) -> None:
    with journaling(tmp_path / "app") as engine:
        for number in range(3):
            put_many(engine, number, number + 1)
            assert is_on(engine)
            seen = [str(number), str(number + 1), engine.lineage]
            assert _look(tmp_path / "app", *way) == seen
            assert not is_on(engine)


def test_beside_another_process_commits_go_to_the_file(tmp_path: Path) -> None:
    look = """
    with opened(path) as engine:
        print("ready", flush=True)
        for line in sys.stdin:
            print(get(engine, b"all").decode(), flush=True)
    """
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 1)
        assert is_on(engine)
        with child(PREAMBLE + textwrap.dedent(look), tmp_path / "app") as other:
            assert other.stdin is not None
            assert other.stdout is not None
            for number in range(1, 20):
                put_many(engine, number, number + 1)
                other.stdin.write("\n")
                other.stdin.flush()
                assert other.stdout.readline() == f"{number}\n", "visible when it was told"
                assert not is_on(engine)
        _until_on(engine)


def _until_on(engine: LmdbEngine) -> None:
    deadline = time.monotonic() + 20
    number = 50
    while not is_on(engine):
        assert time.monotonic() < deadline
        put_many(engine, number, number + 1)
        time.sleep(0.005)


def test_beside_another_program_commits_go_to_the_file(tmp_path: Path) -> None:
    """One that knows the driver alone knocks at no door: it is noticed by its place in LMDB."""
    program = """
    import lmdb
    with lmdb.open(str(path), max_dbs=4) as environment:
        print("ready", flush=True)
        sys.stdin.read()
    """
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 3)
        assert is_on(engine)
        with child(PREAMBLE + textwrap.dedent(program), tmp_path / "app"):
            deadline = time.monotonic() + 20
            while is_on(engine):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            put_many(engine, 3, 5)
            assert not is_on(engine)


def test_a_stopped_holder_keeps_others_out_and_loses_nothing(tmp_path: Path) -> None:
    short = 'with opened(path, lock_timeout=0.2) as engine:\n    print("in")\n'
    with child(PREAMBLE + HOLDER, tmp_path / "app") as holder:
        holder.send_signal(signal.SIGSTOP)
        try:
            answer = run_child(PREAMBLE + short, tmp_path / "app")
            assert "StoreLocked" in answer.stderr
            assert "journal" in answer.stderr
        finally:
            holder.send_signal(signal.SIGCONT)
        assert _look(tmp_path / "app")[:2] == ["4", "5"]
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write("5\n")
        holder.stdin.flush()
        assert holder.stdout.readline() in ("True\n", "False\n")
        assert _look(tmp_path / "app")[:2] == ["5", "6"]


def test_a_copy_from_inside_lets_nobody_in_unnoticed(tmp_path: Path) -> None:
    """Reading the lock file closes it: locks of processes would be gone."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        copy = crashed(tmp_path / "app", tmp_path / "copy")
        put_many(engine, 5, 6)
        assert is_on(engine)
        assert _look(tmp_path / "app")[:2] == ["5", "6"]
    assert _look(copy)[:2] == ["4", "5"]


FORKING = """
with journaling(path) as engine:
    put_many(engine, 0, 5)
    child = os.fork()
    if child == 0:
        time.sleep(60)
    put_many(engine, 5, 9)
    assert is_on(engine)
    print("ready", flush=True)
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_forked_child_keeps_nobody_out(tmp_path: Path, killed: bool) -> None:
    """The locks belong to the open file, which a child has too, unless it lets go."""
    with child(PREAMBLE + "import os\n" + FORKING, tmp_path / "app") as holder:
        assert holder.stdout is not None
        forked = int(holder.stdout.readline())
        try:
            if killed:
                holder.kill()
                holder.wait()
            os.kill(forked, 0)
            assert _look(tmp_path / "app")[:2] == ["8", "9"]
        finally:
            os.kill(forked, signal.SIGKILL)


def test_a_version_that_does_not_know_the_journal_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that knows of no features, by the number; one that knows others, by the name."""
    with opened(tmp_path / "plain", journal=SMALL):
        pass
    with stored(tmp_path / "plain") as transaction:
        assert transaction.get(b"holdfast") == b"holdfast lmdb\0\0\0\1", "until it is used"
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        killed = crashed(tmp_path / "app", tmp_path / "killed")
    for path in (tmp_path / "app", killed):
        with stored(path) as transaction:
            assert transaction.get(b"holdfast") == b"holdfast lmdb\0\0\0\2"
            assert transaction.get(b"features") == b"journal"
        with monkeypatch.context() as older:
            older.setattr(facts, "FORMAT_VERSION", 1)
            with pytest.raises(FormatTooNew) as refusal, opened(path):
                pass
            assert (refusal.value.found, refusal.value.supported) == (2, 1)
        with monkeypatch.context() as other:
            other.setattr(facts, "FEATURES", frozenset(("mirrors",)))
            with pytest.raises(FormatTooNew, match="needs journal"), opened(path):
                pass
    assert fact_of(killed).unapplied, "nobody touched it"
    with opened(killed) as engine:
        assert get(engine, b"all") == b"4"


def test_the_journal_is_refused_where_it_cannot_be_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigInvalid, match="durability=full"):
        LmdbConfig.from_url("lmdb:///app?durability=relaxed&journal=8MiB")
    for wrong in ("1", "4KiB", "2GiB", "-1"):
        with pytest.raises(ConfigInvalid, match="journal"):
            LmdbConfig.from_url(f"lmdb:///app?journal={wrong}")
    assert LmdbConfig.from_url("lmdb:///app?journal=8MiB").journal == 8 << 20
    assert LmdbConfig.from_url("lmdb:///app").journal == 0
    monkeypatch.setattr(byte_locks, "OF_OPEN_FILES", False)
    with pytest.raises(Unsupported, match="journal"), journaling(tmp_path / "app"):
        pass
    assert not (tmp_path / "app").exists()
    with opened(tmp_path / "app") as engine:
        assert put(engine, b"key") == 1


@needs.private_mounts
def test_a_read_only_medium_with_a_journal_of_the_dead_is_refused(tmp_path: Path) -> None:
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        killed = crashed(tmp_path / "app", tmp_path / "killed")
    program = (
        PREAMBLE
        + """
import subprocess
subprocess.run(["mount", "--bind", path, path], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
from holdfast.contract.errors import ReadOnly
try:
    with opened(path, read_only=True) as engine:
        print(get(engine, b"all"))
except ReadOnly as error:
    print("journal" in str(error))
"""
    )
    for path, seen in ((killed, "True"), (tmp_path / "app", "b'4'")):
        answer = run_child(
            "import os, sys\n"
            "os.execvp('unshare', ['unshare', '--map-root-user', '--mount', *sys.argv[1:]])",
            sys.executable, "-c", _whole(program), path,
        )  # fmt: skip
        assert answer.stdout.split() == [seen], answer.stderr


def _whole(program: str) -> str:
    return child_command(program)[2]


def test_a_reader_on_a_read_only_view_of_the_folder_is_noticed(tmp_path: Path) -> None:
    """The lock file cannot be written there, and a shared lock needs no writing."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        assert is_on(engine)
        locks = ProcessLocks(tmp_path / "app" / "holdfast.lock", "lmdb:///app")
        descriptor = (tmp_path / "app" / "holdfast.lock").open("rb")
        with descriptor:
            locks._descriptor, locks._writable = descriptor.fileno(), False
            with locks.door(5.0):
                assert locks.enter("here", 5.0) is False
            put_many(engine, 5, 6)
            assert not is_on(engine)
            put_many(engine, 6, 9)
            assert not is_on(engine), "as long as it is there"


def test_another_size_makes_another_journal(tmp_path: Path) -> None:
    app = tmp_path / "app"
    for size in (SMALL, 2 * SMALL, SMALL):
        with opened(app, journal=size) as engine:
            put_many(engine, 0, 3)
            assert is_on(engine)
            assert (app / "journal").stat().st_size == 4096 + size
            killed = crashed(app, tmp_path / f"killed {drive(engine.head())}")
        with opened(killed, journal=4 * SMALL) as engine:
            assert get(engine, b"all") == b"2"


def test_a_program_that_writes_without_turns_is_told_at_the_next_change(tmp_path: Path) -> None:
    """It writes between two looks; nothing of ours is lost, and nothing of its is overwritten."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 3)
        killed = crashed(tmp_path / "app", tmp_path / "killed")
    with driver(killed) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"head", (77).to_bytes(8) + bytes(4))
    with pytest.raises(IntegrityFailed, match="continue"), opened(killed):
        pass


def test_a_killed_reader_does_not_make_the_file_grow(tmp_path: Path) -> None:
    """Bulk writes are rare, so the places of the dead are looked for when the journal begins."""
    reader = """
    with opened(path) as engine:
        snapshot = drive(engine.snapshot())
        print("ready", flush=True)
        sys.stdin.read()
    """
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 3)
        with child(PREAMBLE + textwrap.dedent(reader), tmp_path / "app"):
            put_many(engine, 3, 4)
        _until_on(engine)
        assert engine._medium.env.reader_check() == 0, "nobody dead was left"


def test_a_half_that_fills_as_the_thread_begins_to_share_is_written_by_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader comes between the thread's look and its turn, and it must not wait for itself."""
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 5)
        journal = engine._journaled
        assert journal is not None
        lead = journal._lead

        def after_a_leader(action: Callable[[], None]) -> None:
            def both() -> None:
                if journal.on and journal.layers.older is None:
                    journal._roll()
                action()

            lead(both)

        journal._lead = after_a_leader  # type: ignore[method-assign]
        assert _look(tmp_path / "app")[:2] == ["4", "5"]
        assert not is_on(engine)
