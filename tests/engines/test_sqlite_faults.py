"""Files that vanish, calls that are cancelled or interrupted, handles that nobody closes."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import pytest

from holdfast.contract.batch import Append, Batch, Draft, Put
from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import IntegrityFailed, StoreClosed, StoreError, StoreNotFound
from holdfast.contract.record import Range, Record
from holdfast.engines.embedded import network
from holdfast.engines.sqlite import SqliteEngine, opening
from holdfast.engines.sqlite.belonging import verify_log
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.sqlite_database import (
    files_in,
    get,
    kill,
    make,
    opened,
    put,
    run_child,
    start_child,
)
from tests.faults.interrupts import collects

PATIENCE_S = 20.0


# --- Files that are removed or replaced ------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def remove_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def replace(path: Path) -> None:
    other = path.with_name("other.sqlite")
    with opened(other) as engine:
        put(engine, b"other")
    other.replace(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize("settled", [False, True], ids=["just written", "at rest"])
@pytest.mark.parametrize("damage", [remove, remove_log, replace, move_folder])
def test_no_write_is_acknowledged_once_its_file_is_gone(
    tmp_path: Path, damage: Callable[[Path], None], durability: str, settled: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "app.sqlite"
    engine = make(path, durability=durability)
    drive(engine.open())
    put(engine, b"key", b"1")
    if settled:
        time.sleep(0.15)  # Longer than a tick of the file system, so that the folder is trusted.
        put(engine, b"key", b"2")
        put(engine, b"key", b"3")
    assert not engine.stale()
    damage(path)
    assert engine.stale() or damage is remove_log
    for _ in range(2):
        with pytest.raises(StoreNotFound, match="open the database again") as refusal:
            put(engine, b"key", b"lost")
        assert not refusal.value.retryable
    drive(engine.close())


def test_a_handle_that_lost_its_file_leaves_the_new_ones_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    stale = make(path)
    drive(stale.open())
    put(stale, b"key", b"old")
    get(stale, b"key")
    for name in files_in(tmp_path):
        (tmp_path / name).unlink()
    with opened(path) as engine:
        put(engine, b"key", b"new")
        with pytest.raises(StoreNotFound):
            put(stale, b"key", b"lost")
        drive(stale.close())
        assert files_in(tmp_path) == [
            f"app.sqlite{suffix}" for suffix in ("", "-ballast", "-shm", "-wal")
        ]
        crashed = tmp_path / "crashed.sqlite"
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
        with opened(crashed) as other:
            assert get(other, b"key") == b"new"


# --- A log beside the wrong file -------------------------------------------------------------

WRITER = """
    path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    engine = make(path)
    drive(engine.open())
    for number in range(first, first + count):
        put(engine, b"%d" % number)
    print("written", flush=True)
    sys.stdin.read()
"""


def crashed(path: Path, first: int, count: int) -> None:
    """Have a process write and die, so that its log stays."""
    child = start_child(WRITER, path, first, count)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "written"
    kill(child)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes()
        for name in files_in(folder)
        if not name.endswith(("-shm", "-ballast"))
    }


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("origin", ["another database", "an older copy"])
def test_a_log_of_another_time_or_database_is_refused_and_nothing_is_mixed(
    tmp_path: Path, origin: str, read_only: bool
) -> None:
    path, spare = tmp_path / "app.sqlite", tmp_path / "spare.sqlite"
    with opened(path if origin == "an older copy" else spare) as engine:
        for number in range(20):
            put(engine, b"before %d" % number)
    if origin == "an older copy":
        shutil.copy(path, spare)
        with opened(path) as engine:
            for number in range(20):
                put(engine, b"between %d" % number)
    crashed(path, 0, 30)
    spare.replace(path)
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(IntegrityFailed, match="does not belong to") as refusal:
            drive(make(path, read_only=read_only).open())
        assert refusal.value.details["log"] == f"{path}-wal"
        assert contents(tmp_path) == before
    # The way that the error names.
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).rename(tmp_path / f"aside{suffix}")
    with opened(path) as engine:
        assert len(drive(engine.scan(Range())).rows) == 20


def test_the_log_of_a_crash_belongs_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    for round_number in range(4):
        crashed(path, round_number * 30, 30)
    with opened(path) as engine:
        assert len(drive(engine.scan(Range())).rows) == 120
        assert drive(engine.check()) == []


@pytest.mark.parametrize("renewals", [1, 2, 3, 4])
def test_two_writers_in_a_log_note_names_that_the_file_does_not_know_yet(
    tmp_path: Path, renewals: int
) -> None:
    """The first commit of a log notes the log before, and another writer's the log itself."""
    path = tmp_path / "app.sqlite"
    with opened(path) as engine:
        for _ in range(renewals):
            engine._renew_log()
            put(engine, b"key")
            verify_log(engine._settings)
        with opened(path) as other:
            put(other, b"other")
            verify_log(engine._settings)
            put(engine, b"key")
            verify_log(engine._settings)


def test_opening_while_others_write_and_move_pages_is_never_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    stop = threading.Event()
    with opened(path) as engine:

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                put(engine, b"%d" % (number % 50), bytes(3000))
                if number % 3 == 0:
                    engine._renew_log()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(40):
                with opened(path) as other:
                    put(other, b"other")
        finally:
            stop.set()
            writer.join()
        assert drive(engine.check()) == []


# --- Cancelled calls --------------------------------------------------------------------------


def descriptors(path: Path) -> int:
    """How many descriptors of this process lead to the files of the database."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(descriptor.readlink()).startswith(str(path))
    return count


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("holdfast sqlite")]


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.002)
    return holds()


@needs.linux
def test_a_cancelled_open_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.sqlite"
    begun, go_on = threading.Event(), threading.Event()
    real = network.refuse_network

    def slowly(folder: Path) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        real(folder)

    monkeypatch.setattr(opening, "refuse_network", slowly)

    async def main(when: str) -> None:
        engine = make(path)
        begun.clear()
        go_on.clear()
        task = asyncio.create_task(engine.open())
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        if when == "after":
            go_on.set()
            assert await asyncio.to_thread(eventually, lambda: engine._refusal is None)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        go_on.set()
        if not task.cancelled():  # It was done before the cancellation reached it.
            await engine.close()
            return
        with pytest.raises(StoreClosed):
            await asyncio.to_thread(put, engine, b"key")

    for when in ("before", "after", "before", "after"):
        asyncio.run(main(when))
    assert eventually(lambda: descriptors(path) == 0 and threads() == [])
    with opened(path) as engine:
        put(engine, b"key")


@needs.linux
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_cancelled_close_closes_and_the_next_waits_for_it(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "app.sqlite"

    async def main() -> None:
        engine = make(path, durability=durability)
        await engine.open()
        await engine.commit(Batch([Put(b"key", b"1")]))
        task = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await engine.close()
        assert descriptors(path) == 0
        assert threads() == []
        await engine.close()

    asyncio.run(main())
    assert files_in(tmp_path) == ["app.sqlite"]


def drop(kept: list[SqliteEngine], told: list[warnings.WarningMessage]) -> None:
    """Let go of the engine; its housekeeping may be at work in it for some time."""
    kept.clear()
    assert eventually(lambda: gc.collect() >= 0 and bool(told))


# --- Handles that nobody closes ---------------------------------------------------------------


@needs.linux
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_dropped_handle_is_told_of_and_gives_everything_back(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "app.sqlite"

    async def use() -> None:
        engine = make(path, durability=durability, checkpoint_pages=100)
        await engine.open()
        for number in range(5):
            await engine.commit(Batch([Put(b"%d" % number, bytes(300_000))]))
        await engine.read([b"1"])
        kept.append(engine)

    kept: list[SqliteEngine] = []
    for _ in range(5):
        asyncio.run(use())
        with pytest.warns(ResourceWarning, match="never closed") as told:
            drop(kept, told.list)
    assert eventually(lambda: descriptors(path) == 0 and threads() == [])
    assert files_in(tmp_path) == ["app.sqlite"], "it was closed in order"
    with opened(path) as engine:
        assert drive(engine.head()) == 25


# --- Interrupts -------------------------------------------------------------------------------


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a file system: thousands of flushes come."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


class Interrupt:
    """Raises KeyboardInterrupt at the n-th traced line of the engine's code."""

    def __init__(self, line: int) -> None:
        self.left = line
        self.hit = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if f"{os.sep}holdfast{os.sep}engines{os.sep}" not in frame.f_code.co_filename:
            return None
        # What is raised for a collected object goes nowhere.
        if event == "line" and not self.hit and not collects(frame):
            self.left -= 1
            if self.left <= 0:
                self.hit = True
                raise KeyboardInterrupt
        return self


def interrupted(line: int, action: Callable[[], object]) -> bool:
    """Run with an interrupt at that line; whether there was such a line."""
    interrupt = Interrupt(line)
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        action()
    except (KeyboardInterrupt, StoreError):
        pass
    finally:
        sys.settrace(before)
    return interrupt.hit


def decide(records: list[Record | None], revision: int) -> Draft:
    draft = Draft()
    draft.rows[b"counter"] = b"%d" % revision
    draft.appends.append((b"F", b"row"))
    return draft


def transact(engine: SqliteEngine) -> None:
    drive(engine.transact([b"counter"], decide))


def append(engine: SqliteEngine) -> None:
    drive(engine.commit(Batch([Append(b"F", b""), Put(b"key", b"2")], id=b"id")))


def read_two(engine: SqliteEngine) -> None:
    drive(engine.read([b"key", b"counter"]))


def scan(engine: SqliteEngine) -> None:
    drive(engine.scan(Range()))


def use_snapshot(engine: SqliteEngine) -> None:
    with drive(engine.snapshot()) as snapshot:
        drive(engine.scan(Range(), at=snapshot))


def load(engine: SqliteEngine) -> None:
    drive(engine.load([(b"loaded", Record(b"", 1))]))


def compact(engine: SqliteEngine) -> None:
    drive(engine.compact())


def check(engine: SqliteEngine) -> None:
    drive(engine.check())


def peek(engine: SqliteEngine) -> None:
    engine.peek(b"key")
    drive(engine.head())


@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize(
    "action", [transact, append, read_two, scan, use_snapshot, load, compact, check, peek]
)
def test_an_interrupt_at_any_line_leaves_the_database_usable(
    quick: Path, durability: str, action: Callable[[SqliteEngine], None]
) -> None:
    path = quick / "app.sqlite"
    with opened(path, durability=durability) as engine:
        put(engine, b"key", b"1")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
            line = 1
            while interrupted(line, lambda: action(engine)):
                # Another process is not kept waiting, and no view keeps the log from being used.
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
                head = drive(engine.head())
                assert put(engine, b"after") > head
                assert drive(engine.scan(Range(b"after"))).rows[0][1].revision > head
                log = engine._open_parts().pen.log
                if not log.checkpoint():
                    gc.collect()
                    assert log.checkpoint(), f"a view is left at line {line}"
                line += 1
        assert line > 5, "lines were traced"
        assert drive(engine.check()) == []
        drive(engine.snapshot()).close()


class InterruptInside(Interrupt):
    """The same at the n-th instruction: a signal comes between two calls of one line, too."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        return super().__call__(frame, "line" if event == "opcode" else "", argument)


@pytest.mark.parametrize(
    "read",
    [
        lambda engine, at: drive(engine.read([b"key"], at=at)),
        lambda engine, at: drive(engine.scan(Range(), at=at)),
    ],
    ids=["read", "scan"],
)
def test_a_read_of_a_snapshot_interrupted_at_any_instruction_keeps_no_view(
    tmp_path: Path, read: Callable[[SqliteEngine, Snapshot], object]
) -> None:
    """Its connection serves later reads, also while somebody looks at the traceback."""
    with opened(tmp_path / "app.sqlite") as engine:
        put(engine, b"key", b"1")
        at = 0
        hit = True
        while hit:
            at += 1
            snapshot, other = drive(engine.snapshot()), drive(engine.snapshot())
            interrupt = InterruptInside(at)
            traceback: BaseException | None = None
            before = sys.gettrace()
            sys.settrace(interrupt)
            try:
                read(engine, snapshot)
            except (KeyboardInterrupt, StoreError) as error:
                traceback = error
            finally:
                sys.settrace(before)
            hit = interrupt.hit
            assert hit == (traceback is not None)
            snapshot.close()
            other.close()  # Its connection is the next to serve.
            head = put(engine, b"key")
            assert drive(engine.scan(Range(b"key"))).rows[0][1].revision == head, f"after {at}"
            traceback = None
            assert engine._open_parts().pen.log.checkpoint(), f"a view is left after {at}"
        assert at > 100


@needs.linux
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # By whom it interrupted.
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_an_interrupt_at_any_line_of_opening_and_closing_leaves_nothing(
    quick: Path, durability: str
) -> None:
    path = quick / "app.sqlite"
    with opened(path) as engine:
        put(engine, b"key")
    # Every seventh line, others in each mode: a cycle is hundreds of lines long.
    line = 1 if durability == "full" else 4
    reached = True
    while reached:
        engine = make(path, durability=durability)

        def cycle(engine: SqliteEngine = engine) -> None:
            drive(engine.open())
            put(engine, b"key")
            drive(engine.close())

        reached = interrupted(line, cycle)
        drive(engine.close())
        del engine, cycle
        assert eventually(lambda: not descriptors(path) or (gc.collect() < 0)), (
            f"descriptors are left at line {line}"
        )
        assert eventually(lambda: threads() == []), f"threads are left at line {line}"
        line += 7
    assert line > 100, "lines were traced"
    with opened(path) as engine:
        assert drive(engine.check()) == []


@needs.linux
def test_real_interrupts_of_a_writing_process_lose_nothing(tmp_path: Path) -> None:
    program = """
        import random, signal
        path, count = Path(sys.argv[1]), int(sys.argv[2])
        engine = make(path)
        drive(engine.open())
        chance = random.Random(7)
        acknowledged, hits, number = 0, 0, 0
        while hits < count:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.0015))
                while True:
                    number += 1
                    acknowledged = put(engine, b"%d" % number)
            except KeyboardInterrupt:
                hits += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert put(engine, b"last") > acknowledged
        assert drive(engine.check()) == []
        drive(engine.close())
        print(hits)
    """
    preamble = (
        "import signal\n"
        "def ring(*_):\n    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, ring)\n"
    )
    path = tmp_path / "app.sqlite"
    answer = run_child(preamble + "\n" + _dedent(program), path, 300)
    assert answer.stdout.split() == ["300"], answer.stderr[-2000:]
    with opened(path) as engine:
        assert drive(engine.check()) == []


def _dedent(program: str) -> str:
    return "\n".join(line[8:] for line in program.splitlines())
