"""The LMDB engine among other processes, threads and loops."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import lmdb
import pytest

from holdfast.contract.batch import Batch, DeleteRange, Put
from holdfast.contract.errors import (
    Overloaded,
    StoreClosed,
    StoreError,
    StoreLocked,
)
from holdfast.contract.record import Range, Record
from holdfast.engines.lmdb import LmdbEngine
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import child, driver, get, make, opened, put

#: Holds the writer's turn as any process does that is in the middle of a commit.
WRITING = """
with opened(Path(sys.argv[1])) as engine:
    put(engine, b"theirs")
    writer = engine._begin()
    print("ready", flush=True)
    sys.stdin.readline()
    writer.abandon()
    print("done", flush=True)
    sys.stdin.read()
"""
#: The same by a program that knows LMDB alone.
FOREIGN = """
with driver(Path(sys.argv[1])) as environment:
    with environment.begin(write=True):
        print("ready", flush=True)
        sys.stdin.readline()
    print("done", flush=True)
    sys.stdin.read()
"""


async def _gaps(seconds: float, work: asyncio.Task[object] | None = None) -> float:
    """The longest time between two ticks of a one-millisecond ticker."""
    longest, last = 0.0, time.perf_counter()
    end = last + seconds
    while last < end or (work is not None and not work.done()):
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


def test_a_commit_waits_for_another_process_and_then_gives_up(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "app", lock_timeout=0.05) as ours,
        child(WRITING, tmp_path / "app") as other,
    ):
        assert get(ours, b"theirs") == b"value", "readers never wait"
        with pytest.raises(StoreLocked, match="lock_timeout"):
            put(ours, b"ours")
        assert get(ours, b"ours") is None
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"
        assert put(ours, b"ours") == 2


def test_opening_waits_for_another_process_and_then_gives_up(tmp_path: Path) -> None:
    with child(WRITING, tmp_path / "app"):
        with pytest.raises(StoreLocked, match="lock_timeout"):
            drive(make(tmp_path / "app", lock_timeout=0.05).open())
        with opened(tmp_path / "app", read_only=True) as engine:
            assert get(engine, b"theirs") == b"value"


@pytest.mark.row("trap 28")
@pytest.mark.parametrize("program", [WRITING, FOREIGN])
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_another_process_that_writes_does_not_hold_up_the_loop(
    tmp_path: Path, program: str, durability: str
) -> None:
    async def main() -> None:
        engine = make(tmp_path / "app", durability=durability)
        await engine.open()
        try:
            with child(program, tmp_path / "app") as other:
                commit = asyncio.ensure_future(engine.commit(Batch([Put(b"ours", b"")])))
                longest = await _gaps(0.3)
                assert not commit.done()
                assert other.stdin is not None
                other.stdin.write("\n")
                other.stdin.flush()
                await commit
            assert longest < 0.02 * PATIENCE
        finally:
            await engine.close()

    with opened(tmp_path / "app") as engine:
        put(engine, b"first")
    asyncio.run(main())


#: How much longer than promised a gap may be here: other tests run on the same cores.
PATIENCE = 3


@pytest.mark.row("trap 28")
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_big_batch_does_not_hold_up_the_loop(tmp_path: Path, durability: str) -> None:
    """Fifty megabytes as the floors above write them: in chunks, some to a batch."""

    async def main() -> float:
        engine = make(tmp_path / "app", durability=durability)
        await engine.open()
        try:

            async def write() -> object:
                for first in range(0, 200, 20):
                    chunks = [Put(b"%03d" % n, bytes(256 * 1024)) for n in range(first, first + 20)]
                    await engine.commit(Batch(chunks))
                return None

            work: asyncio.Task[object] = asyncio.ensure_future(write())
            longest = await _gaps(0.01, work)
            await work
            return longest
        finally:
            await engine.close()

    assert asyncio.run(main()) < 0.02 * PATIENCE


def test_writers_of_two_processes_take_turns(tmp_path: Path) -> None:
    """Neither starves: each finishes while the other still writes."""
    program = """
    with opened(Path(sys.argv[1]), durability=sys.argv[2], flush_interval=0.002) as engine:
        print("ready", flush=True)
        number = 0
        while True:
            put(engine, b"theirs", b"%d" % number)
            number += 1
    """
    for durability in ("full", "relaxed"):
        path = tmp_path / durability
        with opened(path, durability=durability, flush_interval=0.002) as engine:
            put(engine, b"ours")
            with child(program, path, durability):
                turns: list[bytes | None] = []
                deadline = time.monotonic() + 20
                while len(turns) < 10 and time.monotonic() < deadline:
                    revision = put(engine, b"ours")
                    theirs = get(engine, b"theirs")
                    if not turns or theirs != turns[-1]:
                        turns.append(theirs)
            assert len(turns) == 10, f"the other one wrote in between {len(turns)} times"
            assert revision >= 20
            assert drive(engine.check()) == []


def test_too_many_readers_wait_and_then_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "app", readers_max=4, reader_timeout=0.05) as engine:
        put(engine, b"key")
        snapshots = [drive(engine.snapshot()) for _ in range(3)]
        with pytest.raises(Overloaded, match="readers_max"):
            snapshots += [drive(engine.snapshot()) for _ in range(3)]
        for snapshot in snapshots:
            snapshot.close()
        assert get(engine, b"key") == b"value"


def test_snapshots_are_read_by_several_threads(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        for number in range(100):
            put(engine, b"%02d" % number)
        snapshot = drive(engine.snapshot())
        failures: list[object] = []

        def read() -> None:
            for _ in range(200):
                page = drive(engine.scan(Range(), at=snapshot))
                if len(page.rows) != 100:
                    failures.append(page)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        drive(engine.commit(Batch([DeleteRange(Range())])))
        for thread in threads:
            thread.join()
        assert not failures


def test_closing_while_threads_read_refuses_them(tmp_path: Path) -> None:
    engine = make(tmp_path / "app")
    drive(engine.open())
    put(engine, b"key")
    outcomes: list[BaseException] = []
    started = threading.Barrier(4)

    def read() -> None:
        started.wait()
        try:
            while True:
                drive(engine.read([b"key"]))
                drive(engine.scan(Range()))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    drive(engine.close())
    for thread in threads:
        thread.join()
    assert [type(outcome) for outcome in outcomes] == [StoreClosed] * 3


def test_reads_go_on_while_the_map_grows_and_the_file_is_compacted(tmp_path: Path) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def read(engine: LmdbEngine) -> None:
        try:
            while not stop.is_set():
                assert get(engine, b"key") == b"value"
                assert drive(engine.scan(Range(b"k", b"l"))).rows == [(b"key", Record(b"value", 1))]
        except BaseException as error:
            failures.append(error)

    with opened(tmp_path / "app", map_size=64 * 1024) as engine:
        put(engine, b"key")
        threads = [threading.Thread(target=read, args=(engine,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(60):
            put(engine, b"big %d" % (number % 30), bytes(40_000 + number))
            if number % 20 == 19:
                drive(engine.compact())
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert drive(engine.check()) == []


def test_a_read_that_is_older_than_the_trees_begins_anew(tmp_path: Path) -> None:
    """It began in the new environment before the trees were opened there, which LMDB refuses."""
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
        refused: list[bytes] = []

        def read(transaction: lmdb.Transaction[bytes]) -> bytes | None:
            if not refused:
                refused.append(b"key")
                raise lmdb.InvalidParameterError("mdb_get: Invalid argument")
            return transaction.get(b"key", None, engine._medium.rows)

        assert engine._medium.reading(read) is not None
        assert refused


def test_a_read_waits_while_the_compacted_file_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment the environment is the new one, and the trees are those of the old one."""
    opening, go_on = threading.Event(), threading.Event()
    with opened(tmp_path / "app") as engine:
        put(engine, b"key")
        locks = engine._medium.locks
        take_turn = locks.take_turn

        def slowly(timeout_s: float) -> None:
            opening.set()
            assert go_on.wait(20)
            take_turn(timeout_s)

        found: list[object] = []

        def read() -> None:
            try:
                found.append(drive(engine.scan(Range())).rows)
            except StoreError as error:
                found.append(error)

        compacting = threading.Thread(target=lambda: drive(engine.compact()))
        reading = threading.Thread(target=read)
        with monkeypatch.context() as patch:
            patch.setattr(locks, "take_turn", slowly)
            compacting.start()
            assert opening.wait(20)
            reading.start()
            reading.join(0.2)
            go_on.set()
            compacting.join()
        reading.join()
        assert found == [[(b"key", Record(b"value", 1))]]


def test_the_driver_alone_reads_what_is_stored(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"key", b"value")
    with driver(tmp_path / "app") as environment, environment.begin() as transaction:
        rows = environment.open_db(b"rows", transaction)
        assert transaction.get(b"key", db=rows) == (1).to_bytes(8) + b"value"
        assert sys.getsizeof(transaction.get(b"holdfast")) > 0
