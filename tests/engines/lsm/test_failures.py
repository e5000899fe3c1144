"""Writes that fail or are interrupted: what is acknowledged is there, and no more."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import (
    OutcomeUnknown,
    Overloaded,
    StorageFull,
    StoreClosed,
    StoreError,
)
from holdfast.contract.record import Range
from holdfast.engines.lsm.driver import Change, Driver, View, Walk
from holdfast.engines.lsm.opened import Now
from holdfast.engines.lsm.unavailable import Unavailable
from holdfast.runtime.system import drive
from tests.engines.lsm.lsm_database import (
    contents,
    every_engine,
    every_mode,
    get,
    make,
    opened,
    put,
)


@every_engine
def test_a_commit_is_seen_by_nobody_before_it_is_flushed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"key", b"old")
        driver = engine._opened_now.driver
        write = driver.write
        seen: list[object] = []

        def look() -> None:
            record = engine.peek(b"key")
            page = drive(engine.scan(Range()))
            seen.extend((record, page.rows[0][1].value, page.revision))
            with drive(engine.snapshot()) as snapshot:
                seen.append(snapshot.revision)
                seen.append(drive(engine.read([b"key", b"other"], at=snapshot))[0])

        def write_and_look(changes: Sequence[Change], *, flush: bool) -> None:
            write(changes, flush=False)
            look()  # The driver shows the change by now.
            assert driver.get(b"rkey") not in (None, b"")

        monkeypatch.setattr(driver, "write", write_and_look)
        put(engine, b"key", b"new")
        assert seen == [(b"old", 1), b"old", 1, 1, (b"old", 1)]
        assert engine.peek(b"key") == (b"new", 2)


class Failing:
    """Makes the next write of a driver fail, after it was made or before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
        self.error: BaseException | None = None
        self.made = False
        self._write = driver.write
        monkeypatch.setattr(driver, "write", self.write)

    def write(self, changes: Sequence[Change], *, flush: bool) -> None:
        error, self.error = self.error, None
        if error is None or self.made:
            self._write(changes, flush=flush)
        if error is not None:
            raise error


@every_mode
@pytest.mark.parametrize("made", [False, True])
def test_what_a_failed_write_left_is_told_by_opening_anew(
    tmp_path: Path, name: str, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"before")
        snapshot = drive(engine.snapshot())
        failing = Failing(monkeypatch, engine._opened_now.driver)
        failing.error, failing.made = StoreError("the medium failed"), made
        if made:
            assert put(engine, b"key") == 2
        else:
            with pytest.raises(StoreError, match="the medium failed"):
                put(engine, b"key")
        assert get(engine, b"key") == (b"value" if made else None)
        with pytest.raises(StoreClosed, match="opened anew after a failure"):
            drive(engine.read([b"before"], at=snapshot))
        assert put(engine, b"after") == (3 if made else 2)
        assert get(engine, b"before") == b"value"
        assert drive(engine.check()) == []


@every_mode
def test_a_write_that_is_put_off_disturbs_nobody(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"before")
        snapshot = drive(engine.snapshot())
        failing = Failing(monkeypatch, engine._opened_now.driver)
        failing.error = Overloaded("merging does not keep up")
        with pytest.raises(Overloaded):
            put(engine, b"key")
        assert drive(engine.read([b"before"], at=snapshot)) == drive(engine.read([b"before"]))
        assert not engine._opened_now.room.scarce
        assert engine._opened_now.openings == 1
        assert put(engine, b"key") == 2


@every_engine
def test_where_nothing_tells_the_outcome_is_unknown(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"before")
        opened_now = engine._opened_now
        failing = Failing(monkeypatch, opened_now.driver)
        failing.error = StoreError("the medium failed")
        with monkeypatch.context() as patch:

            def fail(config: object, place: object, monotonic: object) -> Driver:
                raise StoreError("still")

            patch.setattr(opened_now, "_open_driver", fail)
            with pytest.raises(OutcomeUnknown, match="repeat the batch with its id"):
                drive(engine.commit(Batch([Put(b"key", b"1")], id=b"the batch")))
            for call in (lambda: get(engine, b"before"), lambda: put(engine, b"key")):
                with pytest.raises(StoreError, match="still"):
                    call()
        receipt = drive(engine.commit(Batch([Put(b"key", b"1")], id=b"the batch")))
        assert receipt.revision == 2
        assert contents(engine) == {b"before": b"value", b"key": b"1"}


@every_mode
@pytest.mark.parametrize("made", [False, True])
def test_an_interrupted_write_is_there_or_not_and_the_next_ones_are(
    tmp_path: Path, name: str, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app"
    with opened(name, path) as engine:
        put(engine, b"before")
        failing = Failing(monkeypatch, engine._opened_now.driver)
        failing.error, failing.made = KeyboardInterrupt(), made
        with pytest.raises(KeyboardInterrupt):
            drive(engine.commit(Batch([Put(b"key", b"1")], id=b"the batch")))
        assert get(engine, b"key") == (b"1" if made else None)
        again = drive(engine.commit(Batch([Put(b"key", b"1")], id=b"the batch")))
        assert again.revision == 2, "the id tells that it is done"
        assert put(engine, b"after") == 3
    with opened(name, path) as engine:
        assert contents(engine) == {b"before": b"value", b"key": b"1", b"after": b"value"}
        assert drive(engine.head()) == 3


@every_engine
def test_readers_in_other_threads_wait_while_it_is_opened_anew(tmp_path: Path, name: str) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"key")
        found: list[bytes | None] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                found.append(get(engine, b"key"))
                found.extend(contents(engine).values())

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for _ in range(5):
                engine._opened_now.reopen()
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert set(found) == {b"value"}


@pytest.mark.row("K-022")
def test_a_read_that_waits_for_an_opening_anew_holds_nothing_open(tmp_path: Path) -> None:
    """Else the opening waits for the read, and gives up: the write's outcome would be unknown."""
    with opened("rocksdb", tmp_path / "app") as engine:
        put(engine, b"key")
        opened_now = engine._opened_now
        looking, go_on = threading.Event(), threading.Event()
        found: list[object] = []
        views = 0

        def look(view: object) -> object:
            nonlocal views
            views += 1
            walk = view.walk(b"s")  # type: ignore[attr-defined]
            if views == 1:
                looking.set()
                assert go_on.wait(30)
            return walk

        reader = threading.Thread(target=lambda: found.append(opened_now._of_one_moment(look)))
        reader.start()
        assert looking.wait(30)
        end_driver = opened_now._end_driver

        def end() -> None:
            end_driver()
            go_on.set()

        opened_now._end_driver = end  # type: ignore[method-assign]
        opened_now.reopen()
        reader.join()
        assert len(found) == 1
        assert views == 2


@every_engine
def test_a_read_that_a_failed_write_overtakes_is_made_again(tmp_path: Path, name: str) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"key")
        opened_now = engine._opened_now
        views: list[View] = []

        def look(view: View) -> bytes | None:
            views.append(view)
            found = view.get(b"rkey")
            if len(views) == 1:
                opened_now.reopen()  # Another thread wrote, which showed and failed.
            return found

        found, head = opened_now._of_one_moment(look)
        assert (found, head) == (views[-1].get(b"rkey"), 1)
        assert len(views) == 2
        assert views[-1] is opened_now.driver


@every_engine
@pytest.mark.parametrize("anew", [False, True])
def test_a_driver_that_fails_as_it_closes_leaves_nothing_locked(
    tmp_path: Path, name: str, anew: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app"
    engine = make(name, path)
    drive(engine.open())
    put(engine, b"key")
    driver = engine._opened_now.driver
    close = driver.close

    def close_and_fail() -> None:
        close()
        raise StorageFull("no room for a last table")

    monkeypatch.setattr(driver, "close", close_and_fail)
    if anew:
        with pytest.raises(StorageFull):
            engine._opened_now.reopen()
        assert put(engine, b"after") == 2, "the next commit opens it"
        drive(engine.close())
    else:
        with pytest.raises(StorageFull):
            drive(engine.close())
    with opened(name, path) as again:
        assert get(again, b"key") == b"value"


@every_engine
def test_a_read_that_meets_a_driver_being_closed_waits_for_the_next_one(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"key")
        opened_now = engine._opened_now
        opening = threading.Timer(0.05, opened_now.reopen)

        def walk(end: bytes) -> Walk:
            opened_now.now = Now(Unavailable(), 1)  # As another thread does that opens it anew.
            opening.start()
            raise StoreError("Already mutably borrowed")

        monkeypatch.setattr(opened_now.driver, "walk", walk)
        assert contents(engine) == {b"key": b"value"}
        opening.join()


@every_engine
def test_a_close_ends_a_compaction_of_another_thread_or_waits_for_it(
    tmp_path: Path, name: str
) -> None:
    engine = make(name, tmp_path / "app", write_buffer=64 * 1024)
    drive(engine.open())
    for number in range(50):
        drive(engine.commit(Batch([Put(b"%d %d" % (number, n), b"v" * 500) for n in range(50)])))
    outcome: list[object] = []

    def compact() -> None:
        try:
            outcome.append(drive(engine.compact()))
        except StoreError as error:
            outcome.append(error)

    compaction = threading.Thread(target=compact)
    compaction.start()
    drive(engine.close())
    compaction.join()
    assert isinstance(outcome[0], int | StoreError)
    with opened(name, tmp_path / "app") as engine:
        assert len(contents(engine)) == 2500
        assert drive(engine.check()) == []
