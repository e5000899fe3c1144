"""The files are removed or replaced while the database is open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import StoreNotFound
from holdfast.contract.runtime import ManualClock
from holdfast.engines.lmdb.watched import LOOK_INTERVAL_S
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import flush, get, make, opened, put, with_clock

MODES = ("full", "relaxed")


@pytest.mark.parametrize("durability", MODES)
def test_a_write_after_the_folder_was_removed_is_refused(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "app"
    engine = make(path, durability=durability)
    drive(engine.open())
    put(engine, b"before")
    if durability == "relaxed":
        flush(engine)
    assert not engine.stale()
    shutil.rmtree(path)
    assert engine.stale()
    for _ in range(2):
        with pytest.raises(StoreNotFound, match="removed or replaced"):
            put(engine, b"after")
    drive(engine.close())
    with opened(path, durability=durability) as again:
        assert get(again, b"before") is None
        put(again, b"after")


@pytest.mark.parametrize("durability", MODES)
def test_a_write_after_the_folder_was_replaced_is_refused(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "app"
    clock = ManualClock()
    engine = make(path, with_clock(clock), durability=durability)
    drive(engine.open())
    put(engine, b"ours")
    if durability == "relaxed":
        flush(engine)
    path.rename(tmp_path / "moved")
    with opened(path) as other:
        put(other, b"theirs")
    assert engine.stale()
    clock.advance(LOOK_INTERVAL_S)
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        put(engine, b"after")
    drive(engine.close())
    with opened(path) as other:
        assert get(other, b"theirs") == b"value"
        assert get(other, b"after") is None
    with opened(tmp_path / "moved") as moved:
        assert get(moved, b"ours") == b"value"
        assert get(moved, b"after") is None


def test_a_restored_data_file_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened(path) as engine:
        put(engine, b"a")
    shutil.copy(path / "data.mdb", tmp_path / "backup")
    engine = make(path)
    drive(engine.open())
    put(engine, b"b")
    (tmp_path / "backup").replace(path / "data.mdb")
    with pytest.raises(StoreNotFound):
        put(engine, b"c")
    drive(engine.close())
    with opened(path) as again:
        assert [get(again, key) for key in (b"a", b"b", b"c")] == [b"value", None, None]


def test_relaxed_writes_that_cannot_be_kept_are_told_at_the_close(tmp_path: Path) -> None:
    path = tmp_path / "app"
    engine = make(path, durability="relaxed", flush_interval=0.01)
    drive(engine.open())
    put(engine, b"lost")
    shutil.rmtree(path)
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        put(engine, b"refused")
    with pytest.raises(StoreNotFound, match="removed or replaced"):
        drive(engine.close())
    with opened(path) as again:
        drive(again.commit(Batch([Put(b"new", b"")])))


def test_a_compacted_database_is_still_the_same(tmp_path: Path) -> None:
    with opened(tmp_path / "app") as engine:
        put(engine, b"a")
        drive(engine.compact())
        assert not engine.stale()
        put(engine, b"b")
