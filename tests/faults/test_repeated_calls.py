"""Openings and closings that are cancelled, interrupted or repeated; readers that get lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreClosed, StoreError
from holdfast.contract.record import Range
from holdfast.engines.embedded.life import Ownership
from holdfast.engines.embedded.watcher import Watcher
from holdfast.engines.sqlite import SqliteEngine
from holdfast.runtime.system import SystemHost, drive
from tests.engines.embedded.engines import ENGINES, driven, writing
from tests.faults.interrupts import each_line
from tests.store.scene import until

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    pytest.mark.filterwarnings("ignore:unclosed file"),
]


# --- Closing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENGINES)
def test_a_close_that_was_interrupted_and_repeated_wakes_who_waits(name: str, quick: Path) -> None:
    engines: list[Engine] = []
    waits: list[threading.Thread] = []

    def ready(number: int) -> None:
        folder = quick / str(number)
        folder.mkdir()
        engine = ENGINES[name](folder)
        drive(engine.open())
        drive(engine.transact([], writing(b"a")))
        started = threading.Event()

        def wait() -> None:
            started.set()
            with pytest.raises(StoreClosed):
                drive(engine.wait(drive(engine.head())))

        waits.append(threading.Thread(target=wait, daemon=True))
        waits[-1].start()
        started.wait()
        engines.append(engine)

    ready(0)
    number = 0
    for number, place in enumerate(each_line(lambda: drive(engines[-1].close()), step=3), 1):
        drive(engines[-1].close())
        waits[-1].join(10)
        assert not waits[-1].is_alive(), f"after an interrupt at {place} a waiter is left"
        with pytest.raises(StoreClosed):
            drive(engines[-1].head())
        ready(number)
    assert number > 5


# --- Opening ----------------------------------------------------------------------------------


class Opening:
    """What an engine does to open and close, slowly."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1


async def test_an_engine_opened_again_while_a_cancelled_opening_is_queued_opens_once() -> None:
    """The thread that opens is busy: the cancelled call is still to come when the next one is."""
    loop = asyncio.get_running_loop()
    held = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        loop.set_default_executor(executor)
        opening = Opening()
        owner = Ownership(SystemHost(), "test", opening.close)
        busy = loop.run_in_executor(None, held.wait)
        first = asyncio.ensure_future(owner.open(opening.open))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.ensure_future(owner.open(opening.open))
        third = asyncio.ensure_future(owner.open(opening.open))
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(busy, second, third)
        assert (opening.opened, opening.closed) == (1, 0)
        await owner.close()
        assert (opening.opened, opening.closed) == (1, 1)


async def test_of_two_openings_a_cancelled_one_leaves_the_other_its_engine() -> None:
    opening = Opening()
    owner = Ownership(SystemHost(), "test", opening.close)
    await owner.open(opening.open)
    again = asyncio.ensure_future(owner.open(opening.open))
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    await until(lambda: not [one for one in threading.enumerate() if "close" in one.name])
    assert (opening.opened, opening.closed) == (1, 0)
    await owner.close()
    assert opening.closed == 1


@pytest.mark.parametrize("name", ENGINES)
def test_opening_an_open_engine_leaves_it_open(name: str, tmp_path: Path) -> None:
    with driven(name, tmp_path) as engine:
        revision = drive(engine.transact([], writing(b"a"))).revision
        try:
            drive(engine.open())
        except StoreError:
            assert name == "memory"
        assert drive(engine.head()) == revision
        assert drive(engine.transact([], writing(b"a"))).revision == revision + 1


# --- Readers ----------------------------------------------------------------------------------


def test_a_reader_lost_by_an_interrupt_holds_up_no_fork(quick: Path) -> None:
    with driven("sqlite", quick) as engine:
        assert isinstance(engine, SqliteEngine)
        drive(engine.transact([], writing(b"a")))
        places = 0
        for place in each_line(lambda: engine.peek(b"a")):
            places += 1
            engine.before_fork()
            assert engine._released, f"after an interrupt at {place} a reader seems to be in use"
            engine.after_fork_in_parent()
            assert engine.peek(b"a") is not None
        assert places > 8


def test_readers_and_forks_at_once(quick: Path) -> None:
    """Whoever forks finds no reader in use, and whoever reads goes on afterwards."""
    with driven("sqlite", quick) as engine:
        assert isinstance(engine, SqliteEngine)
        drive(engine.transact([], writing(b"a")))
        done = threading.Event()
        counts = [0, 0, 0]
        failed: list[BaseException] = []

        def read(number: int) -> None:
            try:
                while not done.is_set():
                    assert engine.peek(b"a") is not None
                    assert len(drive(engine.scan(Range())).rows) == 1
                    counts[number] += 1
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=read, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        released = 0
        for _ in range(60):
            engine.before_fork()
            if engine._released:
                released += 1
                made = engine._open_parts().readers.inherited()
                assert not [one for one in made if not one.away], "a connection is inherited"
            engine.after_fork_in_parent()
            done.wait(0.002)
        done.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert not failed
        assert released > 50
        assert min(counts) > 0


def test_a_counter_that_cannot_be_read_for_once_ends_no_wait() -> None:
    heads: list[int | StoreError] = [1, StoreClosed("not now"), StoreClosed("not now"), 2]

    def head() -> int:
        found = heads.pop(0) if len(heads) > 1 else heads[0]
        if isinstance(found, StoreError):
            raise found
        return found

    watcher = Watcher(SystemHost(), head, lambda: True)
    assert drive(watcher.wait(1)) == 2
    watcher.close()


@pytest.mark.parametrize("name", ["lmdb", "lmdb relaxed", "sqlite", "sqlite relaxed"])
def test_a_closed_snapshot_that_is_kept_holds_up_no_fork(name: str, quick: Path) -> None:
    with driven(name, quick) as engine:
        drive(engine.transact([], writing(b"a")))
        kept = [drive(engine.snapshot()) for _ in range(3)]
        for snapshot in kept:
            drive(engine.read([b"a"], at=snapshot))
            snapshot.close()
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_write, args=(name, quick))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        [record] = drive(engine.read([b"child"]))
        assert record is not None
        assert len(kept) == 3


def _write(name: str, folder: Path) -> None:
    with driven(name, folder) as engine:
        drive(engine.transact([], writing(b"child")))
