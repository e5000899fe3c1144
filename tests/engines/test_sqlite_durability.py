"""What an acknowledged write survives, and when a database begins a new lineage."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import StoreError
from holdfast.contract.record import Range
from holdfast.engines.sqlite import SqliteEngine, log, opening
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.sqlite_database import (
    child_command,
    child_environment,
    get,
    kill,
    opened,
    put,
    run_child,
    sql,
    start_child,
)

#: How long a test waits for something that must happen; it happens far sooner.
PATIENCE_S = 20.0


class Flushes:
    """Counts the flushes that the engine itself orders."""

    def __init__(self) -> None:
        self.count = 0
        self.happened = threading.Event()
        self.failure: OSError | None = None

    def __call__(self, file: int) -> None:
        self.count += 1
        self.happened.set()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> Flushes:
    counter = Flushes()
    monkeypatch.setattr(log, "_flush", counter)
    return counter


def traced(tmp_path: Path, program: str, *arguments: object) -> list[tuple[str, str]]:
    """(thread, system call) of a child: flushes and writes, in order."""
    trace = tmp_path / "trace"
    subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)),
            *child_command(program, *arguments),
        ],
        check=True,
        capture_output=True,
        timeout=50,
        env=child_environment(),
    )
    lines = (line.split(maxsplit=1) for line in trace.read_text().splitlines())
    return [(thread, call) for thread, call in lines]


@pytest.mark.row("trap 16")
@needs.strace
def test_full_flushes_the_log_before_each_acknowledgement(tmp_path: Path) -> None:
    program = """
        import os
        with opened(Path(sys.argv[1])) as engine:
            for number in range(10):
                put(engine, b"key", b"%d" % number)
                os.write(1, b"acknowledged\\n")
    """
    path = tmp_path / "app.sqlite"
    flushed = False
    acknowledged = 0
    for _, call in traced(tmp_path, program, path):
        if "sync(" in call and f"{path}-wal" in call:
            flushed = True
        elif "acknowledged" in call:
            assert flushed, f"acknowledgement {acknowledged} came before its flush"
            acknowledged += 1
            flushed = False
    assert acknowledged == 10


@pytest.mark.row("trap 28")
@needs.strace
def test_relaxed_never_flushes_in_the_thread_that_commits(tmp_path: Path) -> None:
    program = """
        import os, threading
        engine = make(Path(sys.argv[1]), durability="relaxed", checkpoint_pages=100)
        drive(engine.open())
        renewed = threading.Event()
        renew = engine._renew_log
        engine._renew_log = lambda: (renew(), renewed.set())
        os.write(1, b"begin\\n")
        for number in range(60):
            put(engine, b"%d" % (number % 7), bytes([number]) * 100_000)
            if number % 10 == 9:
                assert renewed.wait(20)
                renewed.clear()
        os.write(1, b"end\\n")
        drive(engine.close())
    """
    calls = traced(tmp_path, program, tmp_path / "app.sqlite")
    begin = next(index for index, (_, call) in enumerate(calls) if "begin" in call)
    end = next(index for index, (_, call) in enumerate(calls) if "end" in call)
    flushing = [thread for thread, call in calls[begin:end] if "sync(" in call]
    assert len(flushing) >= 6, "the housekeeping flushed"
    assert calls[begin][0] not in flushing


def test_relaxed_acknowledges_before_the_flush_and_flushes_soon(
    tmp_path: Path, flushes: Flushes
) -> None:
    with opened(tmp_path / "app.sqlite", durability="relaxed", flush_interval=1.0) as engine:
        opening_flushes = flushes.count
        flushes.happened.clear()
        for number in range(50):
            put(engine, b"%d" % number)
        assert flushes.count == opening_flushes
        assert flushes.happened.wait(PATIENCE_S)


def test_closing_flushes_what_is_acknowledged(tmp_path: Path, flushes: Flushes) -> None:
    with opened(tmp_path / "app.sqlite", durability="relaxed", flush_interval=1000.0) as engine:
        put(engine, b"key")
        before = flushes.count
    assert flushes.count > before


def test_after_a_failed_flush_no_write_is_acknowledged(tmp_path: Path, flushes: Flushes) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path, durability="relaxed", flush_interval=0.001) as engine:
        flushes.failure = OSError(5, "Input/output error")
        flushes.happened.clear()
        put(engine, b"key", b"1")
        assert flushes.happened.wait(PATIENCE_S)
        engine._upkeep.close()
        with pytest.raises(StoreError, match="could not be flushed") as refusal:
            put(engine, b"key", b"2")
        assert isinstance(refusal.value.__cause__, OSError)
        assert get(engine, b"key") == b"1"
        flushes.failure = None
    with opened(path) as engine:
        assert put(engine, b"key", b"3") == 2


@pytest.mark.row("trap 16")
@pytest.mark.row("K-022")
@pytest.mark.row("E-025")
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_killed_writer_loses_nothing_acknowledged_and_tears_nothing(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "app.sqlite"
    program = """
        from holdfast.contract.batch import Append, Batch, Put
        path, durability, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
        with opened(path, durability=durability, checkpoint_pages=100) as engine:
            number = first
            while True:
                number += 1
                text = b"%d" % number
                batch = [Put(b"left", text), Append(b"log", text), Put(b"right", text)]
                print(number, drive(engine.commit(Batch(batch))).revision, flush=True)
    """
    number = revision = 0
    for round_number in range(4):
        child = start_child(program, path, durability, number)
        assert child.stdout is not None
        for _ in range(40 + 13 * round_number):
            number, acknowledged = map(int, child.stdout.readline().split())
            assert acknowledged > revision, "a revision was used twice"
            revision = acknowledged
        kill(child)
        with opened(path) as engine:
            left, right = get(engine, b"left"), get(engine, b"right")
            assert left == right
            assert left is not None
            assert int(left) >= number, "an acknowledged write is gone"
            number = int(left)
            revision = drive(engine.head())
            assert _logged(engine) == list(range(1, number + 1))
            assert drive(engine.check()) == []


def _logged(engine: SqliteEngine) -> list[int]:
    numbers = []
    rest: Range | None = Range.prefix(b"log")
    while rest is not None:
        page = drive(engine.scan(rest))
        numbers += [int(record.value) for _, record in page.rows]
        rest = page.resume
    return numbers


# --- Lineage --------------------------------------------------------------------------------


@contextmanager
def started_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine was started again since."""
    with monkeypatch.context() as patch:
        patch.setattr(opening, "machine_start", lambda: "the next start of this machine")
        yield


def crashed_copy(path: Path, durability: str) -> tuple[Path, str]:
    """The files of a database as a crash leaves them, and its lineage."""
    copy = path.with_name("crashed.sqlite")
    with opened(path, durability=durability) as engine:
        put(engine, b"key")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        return copy, engine.lineage


def test_relaxed_begins_a_new_lineage_when_the_machine_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, lineage = crashed_copy(tmp_path / "app.sqlite", "relaxed")
    with started_again(monkeypatch):
        for durability in ("full", "relaxed"):
            again = crashed.with_name(durability)
            for suffix in ("", "-wal"):
                shutil.copy(f"{crashed}{suffix}", f"{again}{suffix}")
            with opened(again, durability=durability) as engine:
                assert engine.lineage != lineage
                new_lineage = engine.lineage
                assert get(engine, b"key") == b"value"
            with opened(again) as engine:
                assert engine.lineage == new_lineage


def test_relaxed_keeps_its_lineage_when_the_process_alone_crashed(tmp_path: Path) -> None:
    crashed, lineage = crashed_copy(tmp_path / "app.sqlite", "relaxed")
    with opened(crashed) as engine:
        assert engine.lineage == lineage


def test_relaxed_keeps_its_lineage_when_it_was_closed_before_the_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.sqlite"
    _, lineage = crashed_copy(path, "relaxed")
    assert sql(path, "SELECT unflushed FROM meta") == [(None,)]
    with started_again(monkeypatch), opened(path, durability="relaxed") as engine:
        assert engine.lineage == lineage


def test_full_keeps_its_lineage_whatever_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, lineage = crashed_copy(tmp_path / "app.sqlite", "full")
    with started_again(monkeypatch), opened(crashed) as engine:
        assert engine.lineage == lineage


def test_a_mark_that_another_process_took_away_is_set_and_flushed_before_the_next_commit(
    tmp_path: Path, flushes: Flushes
) -> None:
    path = tmp_path / "app.sqlite"
    settings: dict[str, Any] = {"durability": "relaxed", "flush_interval": 1000.0}
    with opened(path, **settings) as one:
        with opened(path, **settings) as other:
            put(other, b"key")
        assert sql(path, "SELECT unflushed FROM meta") == [(None,)]
        before = flushes.count
        put(one, b"key")
        assert flushes.count == before + 1
        assert sql(path, "SELECT unflushed IS NULL FROM meta") == [(0,)]
        put(one, b"key")
        assert flushes.count == before + 1


def test_a_machine_without_a_name_for_its_start_counts_every_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "machine_start", lambda: None)
    path = tmp_path / "app.sqlite"
    crashed, lineage = crashed_copy(path, "relaxed")
    with opened(path, durability="relaxed") as engine:
        assert engine.lineage == lineage, "it was closed in order"
        with opened(path) as other:
            assert other.lineage == lineage, "somebody alive set the mark"
    with opened(crashed) as engine:
        assert engine.lineage != lineage


@needs.linux
def test_the_start_of_the_machine_is_the_same_for_every_process() -> None:
    answer = run_child("from holdfast.engines.sqlite import log; print(log.machine_start())")
    assert answer.stdout.strip() == log.machine_start()


# --- The log --------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_the_log_is_moved_into_the_file_and_used_again(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "app.sqlite"
    moved = threading.Event()
    with opened(path, durability=durability, checkpoint_pages=100) as engine:
        renew = engine._renew_log

        def renewed() -> None:
            renew()
            moved.set()

        engine._renew_log = renewed  # type: ignore[method-assign]
        for number in range(30):
            drive(engine.commit(Batch([Put(b"%d" % number, bytes([number]) * 100_000)])))
            if number % 5 == 4:
                assert moved.wait(PATIENCE_S)
                moved.clear()
        assert path.with_name("app.sqlite-wal").stat().st_size < 2_000_000
        assert path.stat().st_size > 2_000_000
        assert len(drive(engine.read([b"%d" % number for number in range(30)]))) == 30
