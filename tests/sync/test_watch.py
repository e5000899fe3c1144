"""The sync watch: it waits by holding its thread, and every way out of the wait is clean."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import holdfast.sync
from holdfast.contract.errors import Compacted, StoreClosed
from tests.sync.interrupts import interrupted, until


def waiting(db: holdfast.sync.Database) -> int:
    """How many callers wait for a change of the database."""
    return db._inner._require_shared().tail.waiting


def test_a_watch_in_another_thread_sees_each_change_in_order(db: holdfast.sync.Database) -> None:
    with ThreadPoolExecutor(1) as there, db.watch("a/#", since=db.revision) as watch:
        seen = there.submit(lambda: [next(watch).revision for _ in range(20)])
        wrote = [db.entries.set(f"a:{n}", n).revision for n in range(20)]
        assert seen.result(20) == wrote


def test_a_wait_is_woken_by_a_write_of_another_thread(db: holdfast.sync.Database) -> None:
    watch = db.watch(since=db.revision)
    with ThreadPoolExecutor(1) as there:
        change = there.submit(next, watch)
        until(lambda: waiting(db) == 1)
        assert not change.done()
        entry = db.entries.set("a:1", 1)
        assert change.result(20).after == entry
    watch.close()


def test_poll_answers_none_and_goes_on_where_it_stood(db: holdfast.sync.Database) -> None:
    with db.watch(since=db.revision) as watch:
        assert watch.poll() is None
        assert watch.poll(0.01) is None
        assert waiting(db) == 1  # The same wait goes on: between two polls nothing is missed.
        entries = [db.entries.set("a:1", n) for n in range(3)]
        seen = [watch.poll(20), watch.poll(), next(watch)]
        assert [change and change.after for change in seen] == entries
        assert watch.poll(-1) is None
    assert waiting(db) == 0
    with pytest.raises(StoreClosed):
        watch.poll()


def test_poll_waits_for_another_thread_no_longer_than_told(db: holdfast.sync.Database) -> None:
    watch = db.watch(since=db.revision)
    with ThreadPoolExecutor(1) as there:
        taken = there.submit(next, watch)
        until(lambda: waiting(db) == 1)
        assert watch.poll(0.01) is None
        db.entries.set("a:1", 1)
        assert taken.result(20).op == "set"
    watch.close()


def test_closing_ends_the_wait_of_another_thread(db: holdfast.sync.Database) -> None:
    watch = db.watch(since=db.revision)
    with ThreadPoolExecutor(1) as there:
        rest = there.submit(list, watch)
        until(lambda: waiting(db) == 1)
        watch.close()
        assert rest.result(20) == []
    until(lambda: waiting(db) == 0)
    watch.close()
    assert list(watch) == []


def test_closing_while_threads_come_and_go_never_hangs(db: holdfast.sync.Database) -> None:
    for _ in range(50):
        watch = db.watch(since=db.revision)
        started = threading.Barrier(3)

        def look(watch: holdfast.sync.Watch = watch, started: threading.Barrier = started) -> int:
            started.wait()
            return len(list(watch))

        with ThreadPoolExecutor(2) as there:
            looking = [there.submit(look) for _ in range(2)]
            started.wait()
            watch.close()
            assert [one.result(20) for one in looking] == [0, 0]
    assert waiting(db) == 0


def test_an_abandoned_watch_leaves_nothing_behind(db: holdfast.sync.Database) -> None:
    watch = db.watch(since=db.revision)
    assert watch.poll() is None
    assert waiting(db) == 1
    del watch
    gc.collect()
    assert waiting(db) == 0


def test_closing_the_database_ends_a_wait_with_an_error(url: str) -> None:
    with holdfast.sync.open(url) as db, ThreadPoolExecutor(1) as there:
        change = there.submit(next, db.watch(since=db.revision))
        until(lambda: waiting(db) == 1)
        db.close()
        with pytest.raises(StoreClosed):
            change.result(20)


def test_an_interrupted_watch_stays_usable(db: holdfast.sync.Database) -> None:
    with db.watch(since=db.revision) as watch:
        with interrupted(lambda: watch._items._hold is not None), pytest.raises(KeyboardInterrupt):
            next(watch)
        entry = db.entries.set("a:1", 1)
        assert next(watch).after == entry
    assert waiting(db) == 0


def test_a_snapshot_comes_first_then_its_end_then_changes(db: holdfast.sync.Database) -> None:
    first = db.entries.set("a:1", 1)
    with db.watch(snapshot=True) as watch:
        assert next(watch).after == first
        assert next(watch).op == "snapshot_end"
        assert watch.poll() is None
        second = db.entries.set("a:2", 2)
        assert next(watch).after == second


def test_a_watch_that_fails_says_why_and_is_over(db: holdfast.sync.Database) -> None:
    with pytest.raises(Compacted):
        db.watch(since="0000.1")
    watch = db.watch(since=db.revision + 5)
    with pytest.raises(ValueError, match="another database"):
        next(watch)
    assert list(watch) == []
