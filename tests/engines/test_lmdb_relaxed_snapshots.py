"""Snapshots of relaxed lmdb: they keep what is not flushed, and wait for no flush."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from holdfast.contract.batch import Batch, Delete, DeleteRange, Put
from holdfast.contract.engine import Snapshot
from holdfast.contract.record import Range, Record
from holdfast.engines.lmdb import LmdbEngine
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import flush, keys, opened, put, run_child


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


def test_a_snapshot_waits_for_no_flush_and_keeps_what_it_saw(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a", b"stored")
        put(engine, b"b", b"stored")
    with _slow(path) as engine:
        put(engine, b"b", b"1")
        put(engine, b"long" * 200, b"1")
        first = drive(engine.snapshot())
        assert drive(engine.snapshot()).held is first.held, "one moment is kept once"
        put(engine, b"b", b"2")
        drive(engine.commit(Batch([Delete(b"a"), Put(b"c", b"2")])))
        second = drive(engine.snapshot())
        assert _stored(path) == [b"a", b"b"], "nothing was flushed"
        drive(engine.commit(Batch([DeleteRange(Range()), Put(b"d", b"3")])))

        def seen(snapshot: Snapshot) -> list[tuple[bytes, Record]]:
            rows = drive(engine.scan(Range(), at=snapshot)).rows
            assert drive(engine.scan(Range(reverse=True), at=snapshot)).rows == rows[::-1]
            wanted = [b"a", b"b", b"c", b"long" * 200]
            found = [row for row in rows if row[0] in wanted]
            read = zip(wanted, drive(engine.read(wanted, at=snapshot)), strict=True)
            assert [(key, record) for key, record in read if record is not None] == found
            return rows

        for _ in range(2):
            assert (first.revision, second.revision) == (4, 6)
            assert seen(first) == [
                (b"a", Record(b"stored", 1)), (b"b", Record(b"1", 3)),
                (b"long" * 200, Record(b"1", 4)),
            ]  # fmt: skip
            assert seen(second) == [
                (b"b", Record(b"2", 5)), (b"c", Record(b"2", 6)), (b"long" * 200, Record(b"1", 4)),
            ]  # fmt: skip
            assert drive(engine.scan(Range(), at=first)).revision == 4
            flush(engine)  # And again when the file has it all.
        assert keys(engine) == [b"d"]
        assert first.held is not None
        first.close()
        assert first.held is None


def test_snapshots_keep_no_more_in_memory_than_the_limit(tmp_path: Path) -> None:
    """Beyond it a snapshot waits for a flush, and then finds everything in the file."""
    path = tmp_path / "app"
    with _slow(path, relaxed_bytes_max=100_000) as engine:
        kept = []
        for number in range(12):
            put(engine, b"%02d" % number, bytes(10_000))
            kept.append(drive(engine.snapshot()))
            assert engine._snapshots.held_bytes <= 100_000
        assert any(snapshot.held is not None for snapshot in kept)
        assert any(snapshot.held is None for snapshot in kept), "that many would take too much"
        for number, snapshot in enumerate(kept):
            found = [key for key, _ in drive(engine.scan(Range(), at=snapshot)).rows]
            assert found == [b"%02d" % one for one in range(number + 1)]
            snapshot.close()
        assert engine._snapshots.held_bytes == 0


def test_snapshots_are_of_one_moment_while_threads_write_and_flush(tmp_path: Path) -> None:
    with opened(tmp_path / "app", durability="relaxed", flush_interval=0.001) as engine:
        drive(engine.commit(Batch([Put(b"a", b"0"), Put(b"b", b"0")])))
        torn: list[object] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                head = drive(engine.head())
                with drive(engine.snapshot()) as snapshot:
                    first, second = drive(engine.read([b"a", b"b"], at=snapshot))
                    rows = drive(engine.scan(Range(), at=snapshot)).rows
                    if (
                        first != second
                        or [record for _, record in rows] != [first, second]
                        or first is None
                        or first.revision != snapshot.revision
                        or snapshot.revision < head
                    ):
                        torn.append((first, second, rows, snapshot.revision, head))

        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(400):
            value = b"%d" % number
            drive(engine.commit(Batch([Put(b"a", value), Put(b"b", value)])))
        stop.set()
        for thread in threads:
            thread.join()
        assert not torn
