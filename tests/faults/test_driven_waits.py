"""Coroutines driven without a loop whose time runs out: they end where they wait, and clean up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import holdfast
from holdfast.contract.errors import TimedOut, WrongContext
from holdfast.runtime import drive as drive_module
from holdfast.runtime.drive import DrivenIterator, ThreadCompletion
from holdfast.runtime.system import ThreadRuntime, drive

LONG_S = 30.0


def test_a_poll_without_a_loop_ends_with_its_time_and_loses_nothing() -> None:
    db = drive(holdfast.open("memory://", housekeeping=False).open())
    watch = db.watch()
    began = time.monotonic()
    assert drive(watch.poll()) is None
    assert drive(watch.poll(0.05)) is None
    assert 0.05 <= time.monotonic() - began < LONG_S / 2
    entries = [drive(db.entries.set("a", n)) for n in range(3)]
    found = [drive(watch.poll(LONG_S)) for _ in entries]
    assert [change and change.after for change in found] == entries
    late = threading.Timer(0.05, lambda: drive(db.entries.set("a", "late")))
    late.start()
    change = drive(watch.poll(LONG_S))
    assert change is not None
    assert change.after.value == "late"
    late.join()
    drive(watch.aclose())
    assert drive(watch.poll(LONG_S)) is None
    drive(db.close())


def test_what_waits_while_it_cleans_up_is_waited_for() -> None:
    runtime, steps = ThreadRuntime(), list[str]()
    never: ThreadCompletion[None] = ThreadCompletion()
    soon: ThreadCompletion[str] = ThreadCompletion()

    async def work() -> None:
        try:
            await never.wait()
        finally:
            timer = threading.Timer(0.02, lambda: soon.settle("tidy"))
            timer.start()
            steps.append(await soon.wait())
            timer.join()

    with pytest.raises(TimedOut) as caught:
        drive(runtime.timeout(work(), 0.01))
    assert caught.value.details["timeout_s"] == 0.01
    assert steps == ["tidy"]


def test_the_sooner_of_two_times_ends_the_wait() -> None:
    runtime = ThreadRuntime()
    never: ThreadCompletion[None] = ThreadCompletion()

    async def inner() -> str:
        try:
            await never.wait(0.01)
        except TimedOut:
            return "its own time was up"
        return "it came"

    async def outer(first_s: float, second_s: float) -> None:
        await runtime.timeout(runtime.timeout(never.wait(), first_s), second_s)

    assert drive(runtime.timeout(inner(), LONG_S)) == "its own time was up"
    began = time.monotonic()
    for times in ((0.01, LONG_S), (LONG_S, 0.01)):
        with pytest.raises(TimedOut) as caught:
            drive(outer(*times))
        assert caught.value.details["timeout_s"] == 0.01
    assert time.monotonic() - began < LONG_S / 2


def test_what_is_done_in_time_is_returned_and_what_it_raises_is_raised() -> None:
    runtime = ThreadRuntime()

    async def raising() -> None:
        raise ValueError("its own")

    async def answer() -> int:
        return 42

    assert drive(runtime.timeout(answer(), 0.0)) == 42
    with pytest.raises(ValueError, match="its own"):
        drive(runtime.timeout(raising(), LONG_S))


@pytest.mark.platform("only systems with fork have children that inherit a handle")
@pytest.mark.parametrize("kind", ["live", "watch"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_wait_that_a_fork_interrupts_is_refused_in_the_child(
    kind: str, busy: bool, tmp_path: Path
) -> None:
    """After a poll in the parent the child went on with the parent's wait, for ever."""
    program = """
        import os, sys, threading
        import holdfast.sync
        from holdfast.contract.errors import StoreError
        url, kind, busy = sys.argv[1:]
        with holdfast.sync.open(url) as db:
            things = db.collection("things")
            things.set("a", {"n": 1})
            changes = things.live().begin() if kind == "live" else db.watch("#", view="*")
            assert changes.poll(0.05) is None
            if busy == "True":
                thread = threading.Thread(target=lambda: next(changes, None), daemon=True)
                thread.start()
                thread.join(0.2)
            child = os.fork()
            if child == 0:
                for call in (lambda: changes.poll(0), lambda: next(changes)):
                    try:
                        call()
                    except StoreError as error:
                        os.write(1, error.code.encode() + b" ")
                os._exit(0)
            os.waitpid(child, 0)
            things.set("b", {"n": 2})
            if busy == "False":
                assert next(changes).key is not None
            changes.close()
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), f"lmdb:///{tmp_path}/app",
         kind, str(busy)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "WRONG_CONTEXT WRONG_CONTEXT ", done.stderr
    assert done.returncode == 0, done.stderr


class Numbers:
    """An asynchronous iterator with nothing to close; `ready` is what it has read already."""

    def __init__(self, *, waits: ThreadCompletion[None] | None = None) -> None:
        self.ready: deque[int] = deque()
        self._waits = waits
        self._next = 0

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        if self._waits is not None:
            await self._waits.wait()
        self._next += 1
        return self._next


def test_an_iteration_at_rest_goes_on_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    items = DrivenIterator(Numbers())
    assert next(items) == 1
    monkeypatch.setattr(drive_module, "_process", [object()])  # As a fork does it.
    assert next(items) == 2
    items.close()
    with pytest.raises(StopIteration):
        next(items)


def test_an_iteration_under_way_belongs_to_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    done: ThreadCompletion[None] = ThreadCompletion()
    items = DrivenIterator(Numbers(waits=done))
    with pytest.raises(TimedOut):
        items.take(0.001)
    with monkeypatch.context() as child:
        child.setattr(drive_module, "_process", [object()])
        with pytest.raises(WrongContext, match="before a fork"):
            next(items)
    done.settle()
    assert next(items) == 1


def test_an_item_that_another_thread_took_is_waited_for_again() -> None:
    class Taken(deque[int]):
        """Seems to have something when it is looked at, which is gone a moment later."""

        def __len__(self) -> int:
            return 1

    numbers = Numbers()
    numbers.ready = Taken()
    assert next(DrivenIterator(numbers)) == 1


def test_a_step_that_wants_a_loop_is_refused() -> None:
    class Foreign(Numbers):
        async def __anext__(self) -> int:
            await asyncio.sleep(0)
            return 1

    items = DrivenIterator(Foreign())
    with pytest.raises(WrongContext, match="event loop"):
        items.take()


def test_a_rest_of_no_time_returns_at_once() -> None:
    async def work() -> str:
        await ThreadRuntime().sleep(0)
        await ThreadRuntime().sleep(0.001)
        return "done"

    assert drive(work()) == "done"
