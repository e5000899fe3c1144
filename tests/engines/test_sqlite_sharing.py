"""The SQLite engine among others: snapshots, locks of other processes, loops, forks."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import (
    InvalidInput,
    Overloaded,
    StoreClosed,
    StoreLocked,
    WrongContext,
)
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import ManualClock
from holdfast.engines.embedded.group import BATCH_ID_MS
from holdfast.engines.embedded.upkeep import Upkeep
from holdfast.engines.sqlite import readers
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.runtime.system import SystemHost, drive
from tests import needs
from tests.engines.sqlite_database import get, make, opened, put, run_child, sql, with_clock
from tests.tidy import repository


def test_a_snapshot_that_is_too_old_is_closed_and_lets_the_log_go(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "app.sqlite"
    with opened(path, with_clock(clock), snapshot_age_max=60.0) as engine:
        put(engine, b"key", b"1")
        snapshot = drive(engine.snapshot())
        put(engine, b"key", b"2")
        clock.advance(59)
        assert drive(engine.read([b"key"], at=snapshot)) == [Record(b"1", 1)]
        assert engine._open_parts().pen.log.checkpoint("TRUNCATE") is False
        clock.advance(2)
        for read in (engine.read([b"key"], at=snapshot), engine.scan(Range(), at=snapshot)):
            with pytest.raises(StoreClosed, match="snapshot_age_max"):
                drive(read)
        assert engine._open_parts().pen.log.checkpoint("TRUNCATE") is True
        snapshot.close()


def test_a_forgotten_snapshot_is_closed_by_the_housekeeping(tmp_path: Path) -> None:
    clock = ManualClock()
    with opened(tmp_path / "app.sqlite", with_clock(clock), snapshot_age_max=60.0) as engine:
        put(engine, b"key")
        forgotten = drive(engine.snapshot())
        snapshots = engine._open_parts().snapshots
        assert len(snapshots) == 1
        clock.advance(61)
        engine._upkeep.wake()
        deadline = time.monotonic() + 20
        while len(snapshots) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(snapshots) == 0
        assert forgotten.expired


def test_a_snapshot_that_nobody_has_any_more_ends_by_itself(tmp_path: Path) -> None:
    with opened(tmp_path / "app.sqlite") as engine:
        put(engine, b"key")
        drive(engine.snapshot())
        put(engine, b"key")
        assert engine._open_parts().pen.log.checkpoint("TRUNCATE") is True


def test_a_log_that_others_kept_from_beginning_anew_is_soon_full_again(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path) as engine, closing(sqlite3.connect(path, isolation_level=None)) as other:
        put(engine, b"key")
        log, quarter = engine._open_parts().pen.log, SqliteConfig(path=path).checkpoint_pages // 4
        other.execute("BEGIN IMMEDIATE")
        assert log.checkpoint("RESTART") is True
        log.wrote(quarter)
        assert log.full
        other.execute("ROLLBACK")
        assert log.checkpoint("RESTART") is True
        log.wrote(quarter)
        assert not log.full


WRITER = """
import asyncio
import sys
import holdfast

async def main():
    async with holdfast.open(sys.argv[1]) as db:
        async def watch():
            async for _ in db.watch("#"):
                pass

        async def write(task):
            for number in range(3000):
                await db.entries.set(f"{sys.argv[2]}{task}:{number % 300}", "x" * 100)
                await db.entries.get(f"a{task}:{number % 77}")

        watching = asyncio.create_task(watch())
        await asyncio.gather(*map(write, range(4)))
        watching.cancel()

asyncio.run(main())
"""


@pytest.mark.torture
def test_the_log_of_two_writing_processes_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    url = f"sqlite:///{path}?durability=relaxed&checkpoint_pages=200"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, name], cwd=repository.ROOT)
        for name in ("a", "b")
    ]
    largest = 0
    while any(writer.poll() is None for writer in writers):
        with suppress(FileNotFoundError):
            largest = max(largest, path.with_name("app.sqlite-wal").stat().st_size)
        time.sleep(0.005)
    assert [writer.returncode for writer in writers] == [0, 0]
    # Without any pause of the writers all 24,000 writes would stand in it.
    assert largest < 50_000_000, f"{largest:,} bytes"


def test_snapshots_are_limited_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "SNAPSHOTS_MAX", 3)
    with opened(tmp_path / "app.sqlite") as engine:
        snapshots = [drive(engine.snapshot()) for _ in range(3)]
        with pytest.raises(Overloaded):
            drive(engine.snapshot())
        snapshots[0].close()
        snapshots[0].close()
        drive(engine.snapshot()).close()


def test_a_snapshot_of_another_engine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with (
        opened(path) as one,
        opened(path) as other,
        drive(one.snapshot()) as snapshot,
        pytest.raises(InvalidInput),
    ):
        drive(other.read([b"key"], at=snapshot))


def test_many_threads_read_while_one_writes(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    stop = threading.Event()
    keys = [b"a", b"b", b"c"]

    with opened(tmp_path / "app.sqlite", durability="relaxed") as engine:

        def read() -> None:
            try:
                while not stop.is_set():
                    records = drive(engine.read(keys))
                    page = drive(engine.scan(Range()))
                    assert len(set(records)) == 1, "several moments in one read"
                    assert len({record for _, record in page.rows}) <= 1
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(readers.READERS_KEPT_MAX + 4)]
        for thread in threads:
            thread.start()
        for number in range(300):
            drive(engine.commit(Batch([Put(key, b"%d" % number) for key in keys])))
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(engine._open_parts().readers._idle) <= readers.READERS_KEPT_MAX


# --- The writer's lock ----------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_writer_that_stays_is_reported_and_readers_do_not_notice(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "app.sqlite"
    with opened(path, durability=durability, busy_timeout=0.05) as engine:
        put(engine, b"key", b"1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for write in (engine.commit(Batch([Put(b"key", b"2")])), engine.compact()):
                with pytest.raises(StoreLocked) as refusal:
                    drive(write)
                assert refusal.value.retryable
            assert get(engine, b"key") == b"1"
            other.execute("ROLLBACK")
        put(engine, b"key", b"3")
        assert get(engine, b"key") == b"3"


@pytest.mark.row("trap 28")
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_the_writer_of_another_process_does_not_hold_up_the_loop(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "app.sqlite"
    held_s = 0.6

    async def main() -> None:
        engine = make(path, durability=durability)
        await engine.open()
        await engine.commit(Batch([Put(b"key", b"1")]))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(engine.commit(Batch([Put(b"key", b"2")])))
            longest = 0.0
            start = last = time.monotonic()
            while last - start < held_s:
                await asyncio.sleep(0.001)
                assert (await engine.read([b"key"]))[0] == Record(b"1", 1)
                now = time.monotonic()
                longest = max(longest, now - last)
                last = now
            assert not waiting.done()
            other.execute("ROLLBACK")
        assert (await waiting).revision == 2
        await engine.close()
        # The bound is far above what is measured, because the machine has other work too.
        assert longest < held_s / 2

    asyncio.run(main())


def test_relaxed_commits_run_where_they_are_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        engine = make(tmp_path / "app.sqlite", durability="relaxed")
        await engine.open()
        for number in range(20):
            await engine.commit(Batch([Put(b"key", b"%d" % number)]))
        assert engine._committer._writer is None, "no writer thread was needed"
        await engine.commit(Batch([Put(b"key", bytes(1_000_000))]))
        assert engine._committer._writer is not None, "a large batch holds up no loop"
        await engine.close()

    asyncio.run(main())


# --- The housekeeping -----------------------------------------------------------------------


def test_housekeeping_ends_even_when_closed_between_two_of_its_steps() -> None:
    worked = threading.Event()
    upkeep = Upkeep("test", SystemHost(), 0.0, worked.set)

    bell = upkeep._bell

    class ClosedRightAfter(SimpleQueue[None]):
        """Is closed between what it answers and what is done about that."""

        def get(self, block: bool = True, timeout: float | None = None) -> None:
            bell.get(block, timeout)
            upkeep._closed = True
            bell.put(None)

        def put(self, item: None, block: bool = True, timeout: float | None = None) -> None:
            bell.put(item)

    upkeep._bell = ClosedRightAfter()
    upkeep.wake()
    assert upkeep._worker is not None
    assert upkeep._worker.join(20), "the thread sleeps on and close would wait for it for ever"


# --- Other promises -------------------------------------------------------------------------


def test_batch_ids_are_forgotten_after_some_minutes(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "app.sqlite"
    with opened(path, with_clock(clock)) as engine:
        for number in range(5):
            drive(engine.commit(Batch([Put(b"key", b"")], id=b"%d" % number)))
        repeated = drive(engine.commit(Batch([Put(b"key", b"other")], id=b"2")))
        assert repeated.revision == 3
        assert get(engine, b"key") == b""
        clock.advance(BATCH_ID_MS / 1000 + 1)
        assert drive(engine.commit(Batch([Put(b"key", b"")], id=b"2"))).revision == 6
        assert sql(path, "SELECT count(*) FROM batch_ids") == [(1,)]


@needs.fork
@pytest.mark.parametrize("keeps", ["a snapshot", "nothing"])
def test_a_forked_child_neither_uses_nor_harms_the_database(tmp_path: Path, keeps: str) -> None:
    program = """
        import gc, os
        from holdfast.contract.errors import WrongContext
        path, keeps = Path(sys.argv[1]), sys.argv[2]
        engine = make(path)
        drive(engine.open())
        put(engine, b"key", b"before")
        snapshot = drive(engine.snapshot())
        if keeps == "nothing":
            snapshot.close()
        child = os.fork()
        if child == 0:
            for verb in (engine.read([b"key"]), engine.head(), engine.snapshot()):
                try:
                    drive(verb)
                except WrongContext:
                    print("refused", flush=True)
            snapshot.close()
            del engine, snapshot
            gc.collect()
            # What it opens by itself works at once, or never will and says so at once.
            try:
                with opened(path, busy_timeout=5.0) as own:
                    assert get(own, b"key") == b"before"
                    put(own, b"child", b"1")
                    assert drive(own.check()) == []
                print("its own", flush=True)
            except WrongContext as error:
                assert not error.retryable
                print("told", flush=True)
            sys.exit(7)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        put(engine, b"key", b"after")
        assert get(engine, b"key") == b"after"
        if keeps == "a snapshot":
            assert Path(f"{path}-wal").exists(), "the child took the log away"
            assert drive(engine.read([b"key"], at=snapshot))[0].value == b"before"
        assert drive(engine.check()) == []
        drive(engine.close())
    """
    answer = run_child(program, tmp_path / "app.sqlite", keeps)
    own = "told" if keeps == "a snapshot" else "its own"
    assert (answer.returncode, answer.stdout.split("\n")) == (
        0,
        [*["refused"] * 3, own, ""],
    ), answer.stderr
    with opened(tmp_path / "app.sqlite") as engine:
        assert get(engine, b"key") == b"after"
        assert get(engine, b"child") == (None if own == "told" else b"1")


@needs.fork
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_forks_among_writing_and_reading_threads(tmp_path: Path, durability: str) -> None:
    program = """
        import os, threading, time
        path, durability = Path(sys.argv[1]), sys.argv[2]
        engine = make(path, durability=durability)
        drive(engine.open())
        stop = threading.Event()
        acknowledged = []
        failures = []

        def write():
            try:
                while not stop.is_set():
                    acknowledged.append(put(engine, b"parent"))
            except BaseException as error:
                failures.append(error)

        def read():
            try:
                while not stop.is_set():
                    get(engine, b"parent")
                    drive(engine.head())
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=one) for one in (write, write, read, read)]
        for thread in threads:
            thread.start()
        for number in range(12):
            time.sleep(0.02)
            child = os.fork()
            if child == 0:
                begun = time.monotonic()
                with opened(path) as own:
                    put(own, b"child %d" % number)
                    assert get(own, b"child %d" % number)
                assert time.monotonic() - begun < 10
                os._exit(7)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 7, number
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == [], failures
        assert len(acknowledged) == len(set(acknowledged)), "a revision was used twice"
        for number in range(12):
            assert get(engine, b"child %d" % number)
        assert drive(engine.check()) == []
        drive(engine.close())
        print("done")
    """
    answer = run_child(program, tmp_path / "app.sqlite", durability)
    assert answer.stdout.split() == ["done"], answer.stderr[-3000:]


def test_after_closing_nothing_works_and_nothing_hangs(tmp_path: Path) -> None:
    engine = make(tmp_path / "app.sqlite")
    drive(engine.open())
    snapshot = drive(engine.snapshot())
    drive(engine.close())
    drive(engine.close())
    snapshot.close()
    for verb in (
        engine.read([b"key"]), engine.read([b"key"], at=snapshot), engine.scan(Range()),
        engine.snapshot(), engine.head(), engine.check(), engine.compact(), engine.load([]),
        engine.commit(Batch([])), engine.wait(0), engine.open(),
    ):  # fmt: skip
        with pytest.raises(StoreClosed):
            drive(verb)


def test_the_error_of_a_fork_is_its_own(tmp_path: Path) -> None:
    with opened(tmp_path / "app.sqlite") as engine:
        engine._refusal = WrongContext
        with pytest.raises(WrongContext, match="fork"):
            drive(engine.head())
        engine._refusal = None
