"""What compaction frees, keeps and costs; what one write costs; what stays in memory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from holdfast.contract.batch import Append, Batch, Delete, DeleteRange, Put
from holdfast.contract.errors import StoreClosed
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import ManualClock
from holdfast.engines.embedded.group import BATCH_ID_MS
from holdfast.engines.file import compaction
from holdfast.engines.file import journal as journals
from holdfast.runtime.system import drive
from tests.engines.file_database import (
    contents,
    delete,
    get,
    left_behind,
    make,
    opened,
    put,
    segments,
    with_clock,
    written,
)

KEYS = 100_000
#: The row's promise.
SET_BYTES_MAX = 10_000
#: So many of them, because some also fill the file ahead of the next ones.
SETS = 100


def _bytes(path: Path) -> int:
    """Of the journal, without what is filled ahead of it."""
    return sum(len(written(segment)) for segment in segments(path))


def _written_by_this_process() -> int:
    text = Path("/proc/self/io").read_text()
    return int(text.split("wchar: ")[1].split()[0])


@pytest.mark.row("E-066", "E-067", "trap 14")
@pytest.mark.parametrize("format", ["json", "msgpack"])
def test_one_set_in_a_large_store_writes_little(tmp_path: Path, format: str) -> None:
    with opened(tmp_path / "app", format=format) as engine:
        for start in range(0, KEYS, 10_000):
            rows = [Put(b"key %06d" % number, b"value") for number in range(start, start + 10_000)]
            drive(engine.commit(Batch(rows)))
        put(engine, b"settled")
        size = _bytes(tmp_path / "app")
        for number in range(SETS):
            handed = _written_by_this_process()
            put(engine, b"key %06d" % (50_000 + number), b"x" * 1000)
            # What the file is filled with ahead of them is counted here, and was not for `size`.
            assert _written_by_this_process() - handed < SET_BYTES_MAX
        assert _bytes(tmp_path / "app") - size < SETS * 2_000


def test_compaction_frees_what_is_dead_and_keeps_the_rest(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        for number in range(60):
            put(engine, b"%d" % (number % 6), bytes([number]) * 2000)
        put(engine, b"gone", b"x" * 5000)
        delete(engine, b"gone")
        drive(engine.commit(Batch([Append(b"log", b"entry"), DeleteRange(Range(b"0", b"2"))])))
        expected = list(_records(engine))
        head = drive(engine.head())
        before = _bytes(tmp_path / "app")
        freed = drive(engine.compact())
        assert freed == before - _bytes(tmp_path / "app")
        assert _bytes(tmp_path / "app") < before / 5
        assert list(_records(engine)) == expected
        assert drive(engine.check()) == []
    with opened(tmp_path / "app") as engine:
        assert list(_records(engine)) == expected
        assert drive(engine.head()) == head
        assert drive(engine.compact()) >= 0
        assert put(engine, b"new") == head + 1


def _records(engine: object) -> list[tuple[bytes, Record]]:
    return drive(engine.scan(Range())).rows  # type: ignore[attr-defined, no-any-return]


def test_a_deleted_key_stays_deleted_whatever_is_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES_MIN", 300)
    with opened(tmp_path / "app") as engine:
        put(engine, b"key", b"old")
        for number in range(8):
            put(engine, b"%d" % number)
        delete(engine, b"key")
        for number in range(8):
            put(engine, b"%d" % number)
        count = len(segments(tmp_path / "app"))
        assert count > 4
        steps = 0
        while not engine._compaction.step() or steps < count:
            steps += 1
            crashed = left_behind(engine, tmp_path)
            with opened(crashed) as other:
                assert get(other, b"key") is None
                assert drive(other.check()) == []
        assert get(engine, b"key") is None


def test_it_happens_by_itself_in_steps_between_which_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "DEAD_BYTES_MIN", 100_000)
    monkeypatch.setattr(journals, "SEGMENT_BYTES_MIN", 50_000)
    with opened(tmp_path / "app") as engine:
        for number in range(400):
            put(engine, b"%d" % (number % 20), b"%d" % number * 1000)
        for _ in range(200):
            if not engine._compaction.due:
                break
            threading.Event().wait(0.02)
        assert not engine._compaction.due
        live = engine._store.journal.live
        assert _bytes(tmp_path / "app") < 2 * live + 200_000
        assert contents(engine) == {
            b"%d" % number: b"%d" % (380 + number) * 1000 for number in range(20)
        }
        assert drive(engine.check()) == []


def test_a_step_is_short_however_much_there_is(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        rows = [Put(b"%04d" % number, b"x" * 1000) for number in range(2000)]
        drive(engine.commit(Batch(rows)))
        put(engine, b"0000")
        engine._store.journal.roll()
        before = _bytes(tmp_path / "app")
        assert not engine._compaction.step()
        assert 0 < _bytes(tmp_path / "app") - before < 1.2 * compaction.STEP_BYTES
        steps = 1
        while not engine._compaction.step():
            steps += 1
        assert steps >= 2_000_000 / compaction.STEP_BYTES - 1
        assert drive(engine.check()) == []


def test_a_snapshot_reads_what_compaction_removed(tmp_path: Path) -> None:
    with opened(tmp_path / "app", cache_size=0) as engine:
        for number in range(10):
            put(engine, b"%d" % number, b"old")
        with drive(engine.snapshot()) as snapshot:
            drive(engine.commit(Batch([Delete(b"0"), Put(b"1", b"new"), Put(b"x", b"new")])))
            for _ in range(2):
                drive(engine.compact())
                put(engine, b"2", b"new")
            page = drive(engine.scan(Range(), at=snapshot))
            assert {key: record.value for key, record in page.rows} == {
                b"%d" % number: b"old" for number in range(10)
            }
            found = drive(engine.read([b"0", b"1", b"2", b"x"], at=snapshot))
            assert [one and one.value for one in found] == [b"old", b"old", b"old", None]
        put(engine, b"3", b"new")
        journal = engine._store.journal
        assert {one.file for one in journal.segments.values()} == set(journal._files)


def test_files_that_only_an_old_snapshot_needs_are_let_go(tmp_path: Path) -> None:
    clock = ManualClock()
    with opened(tmp_path / "app", with_clock(clock), snapshot_age_max=10.0) as engine:
        put(engine, b"a", b"1")
        snapshot = drive(engine.snapshot())
        put(engine, b"a", b"2")
        drive(engine.compact())
        clock.advance(11)
        put(engine, b"b")
        put(engine, b"c")
        assert len(engine._store.journal._files) == 1
        with pytest.raises(StoreClosed, match="snapshot_age_max"):
            drive(engine.read([b"a"], at=snapshot))


@pytest.mark.parametrize("young", [True, False])
def test_ids_of_batches_outlive_their_segment_for_as_long_as_promised(
    tmp_path: Path, young: bool
) -> None:
    clock = ManualClock()
    batch = Batch([Append(b"log", b"once")], id=b"id")
    with opened(tmp_path / "app", with_clock(clock)) as engine:
        first = drive(engine.commit(batch)).revision
        clock.advance(BATCH_ID_MS / 1000 * (0.5 if young else 1.5))
        for _ in range(2):
            put(engine, b"a")
            drive(engine.compact())
    with opened(tmp_path / "app", with_clock(clock)) as engine:
        again = drive(engine.commit(batch)).revision
        assert (again == first) is young
        assert len(_records(engine)) == (2 if young else 3)


def test_a_format_can_be_changed(tmp_path: Path) -> None:
    expected = {}
    for number, format in enumerate(["json", "msgpack", "json"]):
        with opened(tmp_path / "app", format=format) as engine:
            put(engine, b"%d" % number, b"\xff\0value" * number)
            expected[b"%d" % number] = b"\xff\0value" * number
            assert contents(engine) == expected
    assert {path.suffix for path in segments(tmp_path / "app")} == {".jsonl", ".msgpack"}
    with opened(tmp_path / "app", format="msgpack") as engine:
        put(engine, b"0", b"\xff\0value" * 0)
        drive(engine.compact())
        assert contents(engine) == expected
    assert {path.suffix for path in segments(tmp_path / "app")} == {".msgpack"}
    with opened(tmp_path / "app") as engine:
        assert contents(engine) == expected


def test_values_are_read_from_the_files(tmp_path: Path) -> None:
    """Memory holds keys, and of the values what the cache may hold."""
    with opened(tmp_path / "app", cache_size=100_000) as engine:
        for number in range(200):
            put(engine, b"%d" % number, b"%d" % number * 3000)
        cached = engine._store.cache
        assert (
            sum(len(one[0]) for one in [*cached._young.values(), *cached._old.values()]) < 100_000
        )
        assert len(cached) > 3
        for number in range(200):
            assert get(engine, b"%d" % number) == b"%d" % number * 3000


def test_relaxed_commits_are_flushed_within_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.engines.file import segment

    flushed = threading.Event()
    real = segment.flush
    with opened(tmp_path / "app", durability="relaxed", flush_interval=0.05) as engine:

        def seen(descriptor: int) -> None:
            real(descriptor)
            flushed.set()

        monkeypatch.setattr(segment, "flush", seen)
        put(engine, b"a")
        assert not flushed.is_set() or not engine._store.journal.dirty
        assert flushed.wait(10)
        assert not engine._store.journal.dirty
        flushed.clear()
        assert not flushed.wait(0.2), "nothing is flushed where nothing was written"


def test_the_lineage_tells_of_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast.engines.file import opening

    with opened(tmp_path / "app", durability="relaxed") as engine:
        put(engine, b"a")
        lineage = engine.lineage
        crashed, other = left_behind(engine, tmp_path), left_behind(engine, tmp_path)
    with opened(crashed) as engine:
        assert engine.lineage == lineage, "the process alone ended"
    monkeypatch.setattr(opening, "machine_start", lambda: "the next start of this machine")
    with opened(other) as engine:
        assert engine.lineage != lineage
        lineage = engine.lineage
    with opened(other) as engine:
        assert engine.lineage == lineage
    with opened(tmp_path / "app") as engine:
        assert engine.lineage not in (lineage, ""), "closed cleanly, so nothing was lost"
        assert put(engine, b"b") == 2


def test_a_closed_engine_is_not_opened_again(tmp_path: Path) -> None:
    engine = make(tmp_path / "app")
    drive(engine.open())
    drive(engine.close())
    with pytest.raises(StoreClosed, match="make a new one"):
        drive(engine.open())
