"""A journal or a database file that cannot be written: nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from holdfast.contract.errors import StorageFull, StoreError
from holdfast.engines.lmdb import LmdbEngine, journal_file, journaled
from holdfast.engines.lmdb.writer import LmdbWriter
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.journal.journal_database import (
    SMALL,
    crashed,
    fact_of,
    head_of,
    is_on,
    journaling,
    put_many,
)
from tests.engines.lmdb_database import get, keys, make, opened, put, run_child

pytestmark = pytest.mark.row("K-022", "trap 16")

FAULTS = [(errno.EIO, "fdatasync"), (errno.EIO, "pwrite"), (errno.ENOSPC, "pwrite")]
every_fault = pytest.mark.parametrize(
    ("number", "call"), [pytest.param(*one, id=f"{one[1]}-{one[0]}") for one in FAULTS]
)


def _fail(
    monkeypatch: pytest.MonkeyPatch, number: int, call: str, *, partly: bool = False
) -> Callable[[], None]:
    """Have a call of the journal's file fail until the function returned is called."""
    real = getattr(os, call)
    failing = True

    class System:
        """The module `os`, but for the call."""

        def __getattr__(self, name: str) -> Any:
            return failed if name == call and failing else getattr(os, name)

    def failed(descriptor: int, *arguments: Any) -> Any:
        if partly:
            data, at = arguments
            real(descriptor, data[: len(data) // 2], at)
        raise OSError(number, os.strerror(number))

    def mend() -> None:
        nonlocal failing
        failing = False

    monkeypatch.setattr(journal_file, "os", System())
    return mend


@every_fault
@pytest.mark.parametrize("partly", [False, True])
def test_a_commit_that_the_journal_cannot_take_goes_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    number: int, call: str, partly: bool,
) -> None:  # fmt: skip
    app = tmp_path / "app"
    with journaling(app) as engine:
        put_many(engine, 0, 5)
        assert is_on(engine)
        mend = _fail(monkeypatch, number, call, partly=partly and call == "pwrite")
        put_many(engine, 5, 7)
        assert not is_on(engine)
        assert "cannot be used" in caplog.text
        left = crashed(app, tmp_path / "left")
        mend()
        put_many(engine, 7, 8)
        assert not is_on(engine), "not before it is opened again"
        assert (get(engine, b"all"), drive(engine.head())) == (b"7", 8)
    assert (head_of(left), fact_of(left).unapplied) == (7, False)
    with journaling(left) as engine:
        assert get(engine, b"all") == b"6"
        put_many(engine, 7, 9)
        assert is_on(engine)


@every_fault
def test_a_half_that_cannot_be_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    """Neither the first of all, nor the next one."""
    app = tmp_path / "app"
    mend = _fail(monkeypatch, number, call)
    with journaling(app) as engine:
        put_many(engine, 0, 3)
        assert not is_on(engine)
        if call == "pwrite":
            assert not (app / "journal").exists(), "what is not whole takes no room"
        mend()
    with journaling(app) as engine:
        while not is_on(engine):
            put_many(engine, 3, 4)
        journal = engine._journaled
        assert journal is not None
        journal._roll_soon = True
        _fail(monkeypatch, number, call)
        put_many(engine, 4, 6)
        assert not is_on(engine)
        left = crashed(app, tmp_path / "left")
    for path in (app, left):
        with opened(path) as engine:
            assert get(engine, b"all") == b"5"
            assert drive(engine.check()) == []


@pytest.mark.parametrize("error", [StoreError, StorageFull, lmdb.DiskError])
def test_what_lmdb_cannot_take_stays_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Commits go on until both halves are full, then they are refused, and later go on again."""
    app = tmp_path / "app"
    finish = LmdbWriter.finish
    failing = False

    def fail(writer: LmdbWriter, head: int) -> None:
        if failing:
            raise error("no")
        finish(writer, head)

    monkeypatch.setattr(LmdbWriter, "finish", fail)
    monkeypatch.setattr(journaled, "RETRY_S", 0.01)
    with journaling(app) as engine:
        put_many(engine, 0, 1)
        assert is_on(engine)
        failing = True
        done = _put_until_refused(engine, 1)
        assert done > SMALL // 2000 * 0.8, "both halves were used"
        with pytest.raises((StoreError, lmdb.Error)):
            drive(engine.check())
        assert (drive(engine.head()), get(engine, b"all")) == (done, b"%d" % (done - 1))
        assert len(keys(engine)) == done + 1
        left = crashed(app, tmp_path / "left")
        failing = False
        put_many(engine, done, done + 3)
        assert drive(engine.check()) == []
    with opened(app) as engine:
        assert get(engine, b"all") == b"%d" % (done + 2)
    assert fact_of(left).unapplied
    with opened(left) as engine:
        assert (drive(engine.head()), get(engine, b"all")) == (done, b"%d" % (done - 1))
        assert len(keys(engine)) == done + 1


def _put_until_refused(engine: LmdbEngine, done: int) -> int:
    """How many commits were told."""
    for number in range(done, 1000):
        try:
            put_many(engine, number, number + 1, bytes(2000))
        except (StoreError, lmdb.Error):
            return number
    raise AssertionError("nothing was refused")


def test_a_close_that_lmdb_refuses_leaves_all_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    finish = LmdbWriter.finish
    engine = make(app, journal=SMALL, ballast=0)
    drive(engine.open())
    put_many(engine, 0, 9)
    monkeypatch.setattr(LmdbWriter, "finish", _refuse)
    with pytest.raises(StoreError, match="no"):
        drive(engine.close())
    monkeypatch.setattr(LmdbWriter, "finish", finish)
    assert head_of(app) == 0
    with opened(app) as engine:
        assert get(engine, b"all") == b"8"


def _refuse(_writer: LmdbWriter, _head: int) -> None:
    raise StoreError("no")


def test_a_replay_that_fails_is_done_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journaling(tmp_path / "app") as engine:
        put_many(engine, 0, 9)
        left = crashed(tmp_path / "app", tmp_path / "left")
    finish = LmdbWriter.finish
    monkeypatch.setattr(LmdbWriter, "finish", _refuse)
    for read_only in (False, True):
        with pytest.raises(StoreError), opened(left, read_only=read_only):
            pass
    monkeypatch.setattr(LmdbWriter, "finish", finish)
    assert head_of(left) == 0
    with opened(left, read_only=True) as engine:
        assert get(engine, b"all") == b"8"


@needs.file_size_limit
def test_a_replay_without_room_says_so_and_loses_nothing(tmp_path: Path) -> None:
    app, left = tmp_path / "app", tmp_path / "left"
    with journaling(app) as engine:
        for number in range(12):
            put(engine, b"%d" % number, bytes(2000))
        crashed(app, left)
    program = """
    import resource
    from holdfast.contract.errors import StorageFull
    path, limit = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for _ in range(2):
        try:
            with opened(path, ballast=0) as engine:
                print("opened")
        except StorageFull as error:
            print("full")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    with opened(path) as engine:
        print(drive(engine.head()), drive(engine.check()))
    """
    (left / "ballast").unlink()
    answer = run_child(program, left, (left / "data.mdb").stat().st_size + 4096)
    assert answer.stdout.splitlines() == ["full", "full", "12 []"], answer.stderr


def test_a_journal_that_was_removed_is_not_written_to(tmp_path: Path) -> None:
    app = tmp_path / "app"
    with journaling(app) as engine:
        put_many(engine, 0, 5)
        (app / "journal").unlink()
        put_many(engine, 5, 6)
        assert not is_on(engine)
        left = tmp_path / "left"
        shutil.copytree(app, left)
    with opened(left) as engine:
        assert get(engine, b"all") == b"5"
