"""Relaxed durability of the LMDB engine: what is seen, flushed, lost and never lost."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Batch, CheckRange, Delete, DeleteRange, Put
from holdfast.contract.errors import (
    Conflict,
    StoreError,
    StoreNotFound,
)
from holdfast.contract.record import Range, Record
from holdfast.engines.embedded.group import Work
from holdfast.engines.lmdb import LmdbEngine
from holdfast.engines.lmdb.writer import LmdbWriter
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import child, flush, get, keys, make, opened, put, run_child


def _slow(path: Path, **settings: Any) -> AbstractContextManager[LmdbEngine]:
    """An engine that flushes only when it must."""
    return opened(path, durability="relaxed", flush_interval=3600.0, **settings)


def _stored(path: Path) -> list[bytes]:
    """The keys that are in the file itself."""
    program = """
    with opened(Path(sys.argv[1]), read_only=True) as engine:
        print(*(key.decode() for key in keys(engine)))
    """
    answer = run_child(program, path)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.encode().split()


def test_what_is_acknowledged_is_seen_before_it_is_flushed(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        for key in (b"a", b"c", b"e", b"long" * 200):
            put(engine, key, b"old")
    with _slow(path) as engine:
        assert put(engine, b"b", b"new") == 5
        assert put(engine, b"c", b"new") == 6
        drive(engine.commit(Batch([Delete(b"e")])))
        drive(engine.commit(Batch([DeleteRange(Range(b"l", b"m")), Put(b"lo" * 400, b"new")])))
        expected = [b"a", b"b", b"c", b"lo" * 400]
        assert keys(engine) == expected
        assert keys(engine, Range(reverse=True)) == expected[::-1]
        assert keys(engine, Range(b"b", b"c")) == [b"b"]
        assert drive(engine.read([b"c", b"e", b"a", b"x"])) == [
            Record(b"new", 6), None, Record(b"old", 1), None,
        ]  # fmt: skip
        assert [get(engine, key) for key in (b"a", b"c", b"e")] == [b"old", b"new", None]
        assert drive(engine.head()) == 8
        check = CheckRange(Range(b"a", b"d"), at_revision=4, count=2)
        with pytest.raises(Conflict):
            drive(engine.commit(Batch([check, Put(b"z", b"")])))
        assert _stored(path) == [b"a", b"c", b"e", b"long" * 200]
        flush(engine)
        assert _stored(path) == expected
        put(engine, b"last")
    assert _stored(path) == sorted([*expected, b"last"]), "closing flushes"


def test_a_batch_that_removed_nothing_keeps_its_revision(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with _slow(path) as engine:
        receipt = drive(engine.commit(Batch([DeleteRange(Range(b"x", b"y"))])))
        with drive(engine.snapshot()) as snapshot:
            assert snapshot.revision == receipt.revision
        assert drive(engine.head()) == receipt.revision
    with opened(path) as engine:
        assert drive(engine.head()) == receipt.revision, "no later commit gets it again"


def test_it_is_flushed_within_the_interval(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path, durability="relaxed", flush_interval=0.01) as engine:
        put(engine, b"key")
        deadline = time.monotonic() + 20
        while engine._relaxed is not None and not engine._relaxed.layers.hides_nothing:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert _stored(path) == [b"key"]


def test_it_is_flushed_when_much_is_waiting(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with _slow(path, relaxed_bytes_max=100_000) as engine:
        for number in range(30):
            put(engine, b"%02d" % number, bytes(10_000))
        assert len(_stored(path)) >= 20
        assert len(keys(engine)) == 30


def test_others_are_kept_out_while_something_waits(tmp_path: Path) -> None:
    path = tmp_path / "app"
    program = """
    with opened(Path(sys.argv[1]), lock_timeout=0.05) as engine:
        put(engine, b"theirs")
    """
    with _slow(path) as engine:
        assert put(engine, b"ours") == 1
        answer = run_child(program, path)
        assert "StoreLocked" in answer.stderr
        flush(engine)
        assert run_child(program, path).returncode == 0
        assert put(engine, b"ours") == 3


DYING = """
with opened(Path(sys.argv[1]), durability="relaxed", flush_interval=3600.0) as engine:
    print("ready", flush=True)
    for number in range(5):
        drive(engine.commit(Batch([Put(b"%d a" % number, b""), Put(b"%d b" % number, b"")])))
    flush(engine)
    for number in range(5, 9):
        drive(engine.commit(Batch([Put(b"%d a" % number, b""), Put(b"%d b" % number, b"")])))
    print(drive(engine.head()), engine.lineage, flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_loses_whole_commits_and_its_lineage(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with child(DYING, path) as other:
        assert other.stdout is not None
        head, lineage = other.stdout.readline().split()
        assert head == "9"
    # Whoever only reads cannot note it, but does not mistake old cursors for its own either.
    with opened(path, read_only=True) as engine:
        assert engine.lineage not in {"", lineage}
    with opened(path) as engine:
        assert drive(engine.head()) == 5, "what was flushed is there, the rest is gone"
        assert len(keys(engine)) == 10
        fresh = engine.lineage
        assert fresh != lineage
        assert put(engine, b"key") == 6
        assert drive(engine.check()) == []
    with opened(path, durability="relaxed") as engine:
        put(engine, b"key")
        assert engine.lineage == fresh
    with opened(path) as engine:
        assert engine.lineage == fresh, "a clean close keeps it"


def test_a_death_is_noticed_by_processes_that_live_on(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        before = engine.lineage
        with child(DYING, path) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == f"9 {before}\n"
        put(engine, b"key")
        assert engine.lineage != before, "its revision 6 is not the one that was lost"
        assert drive(engine.head()) == 6


def test_two_relaxed_processes_do_not_take_each_other_for_dead(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path, durability="relaxed", flush_interval=0.001) as engine:
        put(engine, b"ours")
        lineage = engine.lineage
        program = """
        with opened(Path(sys.argv[1]), durability="relaxed", flush_interval=0.001) as engine:
            for number in range(20):
                put(engine, b"theirs")
                time.sleep(0.002)
        """
        assert run_child(program, path).returncode == 0
        assert put(engine, b"ours") == 22
        assert engine.lineage == lineage
    with opened(path) as engine:
        assert engine.lineage == lineage


def test_a_reused_batch_id_is_known_before_and_after_the_flush(tmp_path: Path) -> None:
    with _slow(tmp_path / "app") as engine:
        batch = Batch([Put(b"key", b"")], id=b"once")
        assert drive(engine.commit(batch)).revision == 1
        assert drive(engine.commit(batch)).revision == 1
        flush(engine)
        assert drive(engine.commit(batch)).revision == 1
    with opened(tmp_path / "app") as engine:
        assert drive(engine.commit(batch)).revision == 1


def test_commits_on_a_loop_run_inline_between_flushes(tmp_path: Path) -> None:
    async def main() -> None:
        engine = make(tmp_path / "app", durability="relaxed", flush_interval=3600.0)
        await engine.open()
        try:
            threads = []
            relaxed = engine._relaxed
            assert relaxed is not None
            run = relaxed.run

            def watched(works: Sequence[Work]) -> int | None:
                threads.append(threading.current_thread())
                return run(works)

            relaxed.run = watched  # type: ignore[method-assign]
            for number in range(20):
                await engine.commit(Batch([Put(b"%d" % number, b"")]))
            # The first waits for the transaction to begin; one soon after may meet its thread.
            assert threads[0] is not threading.main_thread()
            assert threads.count(threading.main_thread()) >= 10
        finally:
            await engine.close()

    asyncio.run(main())


def test_threads_see_whole_batches_across_flushes(tmp_path: Path) -> None:
    """Two keys that are always written together are never seen apart."""
    with opened(tmp_path / "app", durability="relaxed", flush_interval=0.001) as engine:
        drive(engine.commit(Batch([Put(b"a", b"0"), Put(b"b", b"0")])))
        torn: list[object] = []
        stop = threading.Event()

        def read() -> None:
            newest = 0
            while not stop.is_set():
                first, second = drive(engine.read([b"a", b"b"]))
                rows = drive(engine.scan(Range())).rows
                if (
                    first != second
                    or rows[0][1] != rows[1][1]
                    or first is None
                    or first.revision < newest
                ):
                    torn.append((first, second, rows))
                newest = rows[0][1].revision

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(400):
            value = b"%d" % number
            drive(engine.commit(Batch([Put(b"a", value), Put(b"b", value)])))
        stop.set()
        for thread in threads:
            thread.join()
        assert not torn


def test_an_error_of_the_flush_reaches_whoever_waits_for_it(tmp_path: Path) -> None:
    """A program that takes no turns writes in between: what was acknowledged cannot be kept."""
    engine = make(tmp_path / "app", durability="relaxed", flush_interval=3600.0)
    drive(engine.open())
    put(engine, b"key")
    relaxed = engine._relaxed
    assert relaxed is not None
    assert relaxed._group is not None
    relaxed._group.writer.head = 99
    with pytest.raises(StoreError, match="took no turn"):
        drive(engine.close())


def test_a_commit_rings_for_the_flush_once_in_a_turn(tmp_path: Path) -> None:
    """Each wake-up of the flushing thread costs as much as the commit itself."""
    with _slow(tmp_path / "app") as engine:
        put(engine, b"first")
        relaxed = engine._relaxed
        assert relaxed is not None
        rings = 0
        ring = relaxed._ring

        def counted() -> None:
            nonlocal rings
            rings += 1
            ring()

        relaxed._ring = counted  # type: ignore[method-assign]
        for number in range(1000):
            put(engine, b"%d" % number)
        assert rings == 0
        flush(engine)
        assert rings >= 1


def test_commits_go_on_while_a_flush_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app"
    flushing, go_on = threading.Event(), threading.Event()
    finish = LmdbWriter.finish

    def slowly(writer: LmdbWriter, head: int) -> None:
        if threading.current_thread().name == "holdfast lmdb flush":
            flushing.set()
            assert go_on.wait(20)
        finish(writer, head)

    with opened(path, durability="relaxed", flush_interval=0.01) as engine:
        put(engine, b"a", b"1")
        flush(engine)
        monkeypatch.setattr(LmdbWriter, "finish", slowly)
        put(engine, b"a", b"2")
        assert flushing.wait(20)
        # The flush is held up, and nobody waits for it: not a write, not a read of any kind.
        assert put(engine, b"b", b"3") == 3
        drive(engine.commit(Batch([DeleteRange(Range(b"a", b"b"))])))
        assert [get(engine, key) for key in (b"a", b"b")] == [None, b"3"]
        assert drive(engine.read([b"a", b"b"])) == [None, Record(b"3", 3)]
        assert keys(engine) == [b"b"]
        assert drive(engine.head()) == 4
        go_on.set()
    with opened(path) as engine:
        assert keys(engine) == [b"b"]
        assert drive(engine.head()) == 4
        assert drive(engine.check()) == []


def test_a_commit_waits_for_a_flush_where_memory_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    finish = LmdbWriter.finish

    def slowly(writer: LmdbWriter, head: int) -> None:
        if threading.current_thread().name == "holdfast lmdb flush":
            assert go_on.wait(20)
        finish(writer, head)

    with _slow(tmp_path / "app", relaxed_bytes_max=100_000) as engine:
        put(engine, b"first")
        monkeypatch.setattr(LmdbWriter, "finish", slowly)
        written: list[int] = []

        def write() -> None:
            for number in range(30):
                put(engine, b"%02d" % number, bytes(10_000))
                written.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        relaxed = engine._relaxed
        assert relaxed is not None
        deadline = time.monotonic() + 20
        while not relaxed._waiting:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert 9 <= len(written) <= 11
        go_on.set()
        writer.join(20)
        assert len(written) == 30


def test_a_process_that_waits_gets_its_turn_from_one_that_never_rests(tmp_path: Path) -> None:
    path = tmp_path / "app"
    program = """
    with opened(Path(sys.argv[1])) as engine:
        for number in range(10):
            put(engine, b"theirs")
    """
    with opened(path, durability="relaxed", flush_interval=0.002) as engine:
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                put(engine, b"ours")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            answer = run_child(program, path)
            assert answer.returncode == 0, answer.stderr
        finally:
            done.set()
            writer.join(20)
        assert drive(engine.check()) == []


def test_a_flush_that_fails_with_a_bare_error_is_told_and_nobody_hangs(tmp_path: Path) -> None:
    engine = make(tmp_path / "app", durability="relaxed", flush_interval=3600.0)
    drive(engine.open())
    put(engine, b"key")
    shutil.rmtree(tmp_path / "app")
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        drive(engine.close())
