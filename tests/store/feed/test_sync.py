"""Subscriptions of synchronous handles: in the writer's thread, or in one of their own."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast import Change
from holdfast.contract.errors import InvalidInput, StoreClosed
from holdfast.runtime.system import ThreadRuntime, drive
from tests.store.scene import ENGINES, url_of


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


@pytest.fixture
def db(url: str) -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open(url) as database:
        yield database


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def threads(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == name]


@pytest.mark.row("K-080")
def test_a_callback_runs_before_the_writer_goes_on(db: holdfast.sync.Database) -> None:
    order: list[Any] = []
    db.entries.subscribe("a/#", lambda one: order.append((one.op, str(one.key))))
    db.entries.set("a:1", 1)
    order.append("done")
    with db.transaction() as tx:
        tx.entries.set("a:2", 1)
        tx.entries.set("a:3", 1)
        order.append("in transaction")
    order.append("committed")
    assert order == [
        ("set", "a:1"), "done", "in transaction", ("set", "a:2"), ("set", "a:3"), "committed",
    ]  # fmt: skip


def test_writes_of_another_handle_arrive_by_themselves(url: str) -> None:
    with holdfast.sync.open(url) as db, holdfast.sync.open(url) as other:
        seen: list[int] = []
        stop = db.entries.subscribe("#", lambda one: seen.append(one.revision))
        wrote = [other.entries.set("a:1", n).revision for n in range(10)]
        until(lambda: seen == wrote)
        stop()
        until(lambda: not threads("holdfast events"))
        other.entries.set("a:1", 11)
        assert seen == wrote


def test_threads_that_write_see_their_own_commit_delivered_in_order(
    db: holdfast.sync.Database,
) -> None:
    seen: list[int] = []
    db.entries.subscribe("#", lambda one: seen.append(one.revision))

    def work(number: int) -> list[int]:
        wrote = []
        for n in range(30):
            revision = db.entries.set(f"a:{number}", n).revision
            assert revision in seen
            wrote.append(revision)
        return wrote

    with ThreadPoolExecutor(4) as pool:
        wrote = sorted(revision for part in pool.map(work, range(4)) for revision in part)
    assert seen == wrote


def test_a_callback_may_write_and_unsubscribe(db: holdfast.sync.Database) -> None:
    order: list[Any] = []
    stops: list[Callable[[], None]] = []

    def echo(one: Change) -> None:
        assert one.after is not None
        order.append(("first", str(one.key), one.after.value))
        if one.after.value < 3:
            db.entries.set("echo:1", one.after.value + 1)
            order.append("wrote")
        else:
            stops[0]()

    stops.append(db.entries.subscribe("#", echo))
    db.entries.subscribe("#", lambda one: order.append(("second", str(one.key))))
    db.entries.set("a:1", 1)
    assert order == [
        ("first", "a:1", 1), "wrote", ("second", "a:1"),
        ("first", "echo:1", 2), "wrote", ("second", "echo:1"),
        ("first", "echo:1", 3), ("second", "echo:1"),
    ]  # fmt: skip
    db.entries.set("a:2", 1)
    assert order[-1] == ("second", "a:2")
    assert len(order) == 9


def test_a_callback_that_waits_for_another_writer_ends(db: holdfast.sync.Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        seen: list[Any] = []

        def callback(one: Change) -> None:
            if str(one.key) == "a:1":
                seen.append(pool.submit(db.entries.set, "b:1", 1).result(20).key)
            else:
                seen.append(one.key)

        db.entries.subscribe("#", callback)
        db.entries.set("a:1", 1)
        until(lambda: seen == ["b:1", "b:1"])


def test_the_last_unsubscribe_and_close_leave_no_thread(url: str) -> None:
    with holdfast.sync.open(url) as db:
        stops = [db.entries.subscribe("#", print) for _ in range(3)]
        assert len(threads("holdfast events")) == 1
        for stop in stops:
            stop()
        until(lambda: not threads("holdfast events"))
        for _ in range(50):
            db.entries.subscribe("#", print)()
        until(lambda: not threads("holdfast events"))
        db.entries.subscribe("#", print)
    assert not threads("holdfast events")
    with pytest.raises(StoreClosed):
        db.entries.subscribe("#", print)


def test_closing_from_a_callback_works(url: str) -> None:
    db = holdfast.sync.open(url).open()
    with holdfast.sync.open(url) as other:
        db.entries.subscribe("#", lambda _: db.close())
        other.entries.set("a:1", 1)
        until(lambda: not threads("holdfast events"))
        with pytest.raises(StoreClosed):
            db.entries.get("a:1")


def test_a_coroutine_function_is_refused(db: holdfast.sync.Database) -> None:
    async def callback(_: Change) -> None:
        raise AssertionError

    with pytest.raises(InvalidInput, match="event loop"):
        db.entries.subscribe("#", callback)
    assert db.subscriptions() == []
    assert not threads("holdfast events")


def test_background_work_of_threads_can_be_waited_for_and_stopped() -> None:
    done: list[str] = []

    async def short() -> None:
        done.append("short")

    async def waiting() -> None:
        try:
            await ThreadRuntime().completion().wait()
        finally:
            done.append("ended")

    async def check() -> None:
        runtime = ThreadRuntime()
        assert await runtime.start("short", short).wait(20)
        background = runtime.start("waiting", waiting)
        assert await background.wait(0.01) is False
        background.stop()
        background.stop()
        assert await background.wait(20)

    drive(check())
    assert done == ["short", "ended"]


def test_a_callback_that_exits_in_the_background_ends_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with holdfast.sync.open(url) as db, holdfast.sync.open(url) as other:
        seen: list[Any] = []

        def exiting(one: Change) -> None:
            seen.append(one.after and one.after.value)
            if len(seen) == 1:
                raise SystemExit

        db.entries.subscribe("#", exiting)
        for n in range(3):
            other.entries.set("a:1", n)
        until(lambda: seen == [0, 1, 2])
        assert "SystemExit" in caplog.text
