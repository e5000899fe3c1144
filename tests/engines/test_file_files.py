"""The files of a database: removed, replaced, moved, left behind, or refused by the system."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import (
    IntegrityFailed,
    NotADatabase,
    StorageFull,
    StoreError,
    StoreNotFound,
)
from holdfast.contract.runtime import ManualClock
from holdfast.engines.file import journal as journals
from holdfast.engines.file import segment as segment_module
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.file_database import (
    contents,
    get,
    left_behind,
    make,
    opened,
    put,
    segments,
    with_clock,
    written,
)

MODES = ("full", "relaxed")


@pytest.mark.parametrize("durability", MODES)
def test_a_write_after_the_folder_was_removed_is_refused(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "app"
    engine = make(path, durability=durability)
    drive(engine.open())
    put(engine, b"before")
    assert not engine.stale()
    shutil.rmtree(path)
    assert engine.stale()
    for _ in range(2):
        with pytest.raises(StoreNotFound, match="removed or replaced"):
            put(engine, b"after")
    assert get(engine, b"before") == b"value"
    drive(engine.close())
    assert not path.exists()
    with opened(path, durability=durability) as again:
        assert get(again, b"before") is None
        put(again, b"after")


@pytest.mark.parametrize("durability", MODES)
def test_a_write_after_the_folder_was_replaced_is_refused(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "app"
    engine = make(path, durability=durability)
    drive(engine.open())
    put(engine, b"ours")
    path.rename(tmp_path / "moved")
    with opened(path) as other:
        put(other, b"theirs")
    assert engine.stale()
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        put(engine, b"after")
    drive(engine.close())
    with opened(path) as other:
        assert contents(other) == {b"theirs": b"value"}
    with opened(tmp_path / "moved") as moved:
        assert contents(moved) == {b"ours": b"value"}


@pytest.mark.parametrize("what", ["00000001.jsonl", "manifest.json"])
@pytest.mark.parametrize("waits", [0.0, 5.0])
def test_a_write_after_a_file_was_removed_is_refused(
    tmp_path: Path, what: str, waits: float
) -> None:
    clock = ManualClock()
    engine = make(tmp_path / "app", with_clock(clock))
    drive(engine.open())
    for _ in range(3):
        put(engine, b"a")
        clock.advance(waits)
    (tmp_path / "app" / what).unlink()
    for _ in range(2):
        with pytest.raises(StoreNotFound, match=what):
            put(engine, b"b")
    drive(engine.close())


def test_a_file_replaced_by_a_copy_of_itself_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"a")
        (segment,) = segments(tmp_path / "app")
        copy = tmp_path / "copy"
        shutil.copy(segment, copy)
        copy.replace(segment)
        with pytest.raises(StoreNotFound, match=segment.name):
            put(engine, b"b")
    with opened(tmp_path / "app") as engine:
        assert contents(engine) == {b"a": b"value"}


# --- What crashes leave -----------------------------------------------------------------------


def test_what_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a")
        drive(engine.compact())
        put(engine, b"a")
        drive(engine.compact())
        expected = contents(engine)
    last = segments(path)[-1]
    number = int(last.name.partition(".")[0])
    assert number > 2
    header = last.read_bytes().splitlines(keepends=True)[0]
    (path / f"{number + 1:08}.jsonl").write_bytes(header)  # Begun, and never listed.
    (path / "00000001.jsonl").write_bytes(header)  # Compacted, and not removed yet.
    (path / "manifest.json.new").write_text("half a manif")
    with opened(path, read_only=True) as engine:
        assert contents(engine) == expected
    with opened(path) as engine:
        assert contents(engine) == expected
        assert {file.name for file in path.iterdir()} == {
            "ballast",
            "lock",
            "manifest.json",
            last.name,
        }
        put(engine, b"b")
        assert drive(engine.check()) == []


def test_a_directory_that_was_made_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "lock").touch()
    (tmp_path / "app" / "manifest.json.new").write_text("{")
    with pytest.raises(StoreNotFound), opened(tmp_path / "app", read_only=True):
        pass
    with opened(tmp_path / "app") as engine:
        put(engine, b"a")


def test_a_manifest_without_segments_is_an_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        lineage = engine.lineage
    for file in segments(path):
        file.unlink()
    text = (path / "manifest.json").read_text()
    import re

    text = re.sub(r',\s*"crc": "\w+"', "", re.sub(r"\[[^]]*\]", "[]", text))
    (path / "manifest.json").write_text(text)
    with opened(path, read_only=True) as engine:
        assert contents(engine) == {}
    with opened(path) as engine:
        assert engine.lineage == lineage
        assert put(engine, b"a") == 1


def test_a_name_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((NotADatabase, StoreError)), opened(tmp_path / "file" / "app"):
        pass


# --- The medium says no -----------------------------------------------------------------------


@needs.file_size_limit
def test_a_file_as_large_as_may_be_is_followed_by_another(tmp_path: Path) -> None:
    from tests.engines.file_database import run_child

    program = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    with opened(Path(sys.argv[1]), ballast=0) as engine:
        for number in range(60):
            put(engine, b"%d" % number, b"x" * 3000)
        assert drive(engine.check()) == []
        try:
            put(engine, b"large", bytes(range(256)) * 300)
        except Exception as error:
            print(type(error).__name__)
        assert get(engine, b"large") is None
        put(engine, b"after")
    with opened(Path(sys.argv[1]), ballast=0) as engine:
        print(len(contents(engine)), get(engine, b"59") == b"x" * 3000)
    """
    answer = run_child(program, tmp_path / "app")
    assert answer.stdout == "StorageFull\n61 True\n", answer.stderr
    assert len(segments(tmp_path / "app")) > 3


def test_a_flush_that_fails_stops_every_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can say what the medium holds; opened anew it is read and seen."""
    engine = make(tmp_path / "app")
    drive(engine.open())
    put(engine, b"a")
    real = segment_module.flush

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(segment_module, "flush", fails)
    with pytest.raises(StoreError, match="EIO"):
        put(engine, b"b")
    monkeypatch.setattr(segment_module, "flush", real)
    with pytest.raises(StoreError, match="EIO"):
        put(engine, b"c")
    assert get(engine, b"a") == b"value"
    assert get(engine, b"b") is None
    drive(engine.close())
    with opened(tmp_path / "app") as again:
        assert contents(again).keys() in ({b"a"}, {b"a", b"b"})
        put(again, b"c")


@pytest.mark.parametrize("at", [0, 10, 100])
def test_a_write_that_came_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with opened(tmp_path / "app", ballast=0) as engine:
        put(engine, b"a")
        before = written(segments(tmp_path / "app")[0])
        write = os.pwrite
        left = [at, 0]

        def half(descriptor: int, data: bytes, place: int) -> int:
            if not left:
                return write(descriptor, data, place)
            if (count := left.pop(0)) == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data[:count], place)

        monkeypatch.setattr(os, "pwrite", half)
        monkeypatch.setattr(engine, "_make_room", lambda: False)
        with pytest.raises(StorageFull):
            put(engine, b"b", b"x" * 200)
        monkeypatch.undo()
        assert written(segments(tmp_path / "app")[0]) == before
        put(engine, b"c")
        assert contents(engine).keys() == {b"a", b"c"}
        assert drive(engine.check()) == []
        crashed = left_behind(engine, tmp_path)
    with opened(crashed) as engine:
        assert contents(engine).keys() == {b"a", b"c"}


def test_a_batch_larger_than_what_is_gathered_fails_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.engines.file import writer

    monkeypatch.setattr(writer, "GATHERED_BYTES_MAX", 500)
    with opened(tmp_path / "app", ballast=0) as engine:
        put(engine, b"a")
        before = written(segments(tmp_path / "app")[0])
        wrote = os.pwrite
        calls = [0]

        def third_fails(descriptor: int, data: bytes, place: int) -> int:
            calls[0] += 1
            if calls[0] == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return wrote(descriptor, data, place)

        batch = Batch([Put(b"%d" % number, b"x" * 100) for number in range(40)])
        monkeypatch.setattr(os, "pwrite", third_fails)
        monkeypatch.setattr(engine, "_make_room", lambda: False)
        with pytest.raises(StorageFull):
            drive(engine.commit(batch))
        monkeypatch.undo()
        assert written(segments(tmp_path / "app")[0]) == before
        drive(engine.commit(batch))
        assert len(contents(engine)) == 41
        assert drive(engine.check()) == []
    with opened(tmp_path / "app") as engine:
        assert len(contents(engine)) == 41


def test_too_many_open_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engines.file_database import run_child

    monkeypatch.setattr(journals, "SEGMENT_BYTES_MIN", 300)
    with opened(tmp_path / "app") as engine:
        for number in range(60):
            put(engine, b"%d" % number)
    program = """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (25, 25))
    try:
        with opened(Path(sys.argv[1])):
            pass
    except Exception as error:
        print(type(error).__name__, "ulimit -n" in str(error))
    """
    answer = run_child(program, tmp_path / "app")
    assert answer.stdout == "QuotaExceeded True\n", answer.stderr
    with opened(tmp_path / "app") as engine:
        assert len(contents(engine)) == 60


def test_damage_is_not_taken_for_an_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a")
    segments(path)[0].write_bytes(b"")
    with pytest.raises(IntegrityFailed, match="begins with its header"), opened(path):
        pass
