"""Snapshots of LevelDB that are let go of around a close, which the binding does not look at."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from holdfast.engines.leveldb.driver import LeveldbDriver
from tests.engines.lsm.lsm_database import get, opened, put


def _driver(engine: object) -> LeveldbDriver:
    driver = engine._opened_now.driver  # type: ignore[attr-defined]
    assert type(driver) is LeveldbDriver
    return driver


@pytest.mark.row("K-022")
def test_a_snapshot_is_let_go_of_before_the_database_or_with_it(tmp_path: Path) -> None:
    """Released while another thread closes the database it would be released in freed memory."""
    with opened("leveldb", tmp_path / "app") as engine:
        put(engine, b"key")
        driver = _driver(engine)
        calls, early, late, last = driver._calls, *(driver.snapshot() for _ in range(3))
        del early
        assert calls._kept == [], "it is released at once"
        assert calls.end(), "no call is under way"
        del late
        assert len(calls._kept) == 1, "the close that is under way comes first"
        driver.close()
        assert calls._kept == []
        del last
        assert calls._kept == [], "nothing of the driver's is touched"
        engine._opened_now.reopen()
        assert get(engine, b"key") == b"value"


@pytest.mark.row("K-022")
def test_a_snapshot_let_go_of_within_a_call_leaves_the_call_counted(tmp_path: Path) -> None:
    """As the collector may do it: a close of another thread still waits for the call."""
    with opened("leveldb", tmp_path / "app") as engine:
        driver = _driver(engine)
        calls, views = driver._calls, [driver.snapshot()]
        within, leave = threading.Event(), threading.Event()

        def call() -> None:
            views.clear()
            within.set()
            assert leave.wait(30)

        caller = threading.Thread(target=calls.run, args=(call,))
        caller.start()
        try:
            assert within.wait(30)
            assert calls._others()
        finally:
            leave.set()
            caller.join()
        assert not calls._others()
