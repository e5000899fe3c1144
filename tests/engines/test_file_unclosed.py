"""File databases that nobody closes, that two processes make at once, or that a loop gives up."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from weakref import ref

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.record import Range
from holdfast.engines.file import FileEngine, segment
from holdfast.runtime.system import drive
from tests.engines.file_database import (
    contents,
    get,
    kill,
    make,
    opened,
    put,
    run_child,
    start_child,
)

MODES = ("full", "relaxed")


def _resources() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def _collected(dropped: ref[FileEngine]) -> None:
    """Return when the engine is gone: its thread may just be flushing."""
    for _ in range(100):
        gc.collect()
        if dropped() is None:
            return
        threading.Event().wait(0.02)
    raise AssertionError("something still holds the engine")


@pytest.mark.parametrize("durability", MODES)
def test_engines_that_were_dropped_keep_nothing(tmp_path: Path, durability: str) -> None:
    """Neither files nor threads nor the lock, whatever they were doing."""
    path = tmp_path / "app"
    with opened(path, durability=durability) as engine:
        put(engine, b"a")
    before = _resources()
    for number in range(5):
        engine = make(path, durability=durability)
        drive(engine.open())
        put(engine, b"%d" % number)
        snapshot = drive(engine.snapshot())
        dropped = ref(engine)
        del engine, snapshot
        with pytest.warns(ResourceWarning, match="never closed"):
            _collected(dropped)
    with opened(path, lock_timeout=0.0) as engine:
        assert len(contents(engine)) == 6
        assert drive(engine.check()) == []
    after = _resources()
    assert after[0] <= before[0]
    assert after[1] <= before[1]


LEFT = """
engine = make(Path(sys.argv[1]), durability="relaxed", flush_interval=3600.0)
drive(engine.open())
put(engine, b"a")
"""


def test_what_is_open_at_the_end_of_the_process_is_flushed(tmp_path: Path) -> None:
    answer = run_child(LEFT, tmp_path / "app")
    assert answer.returncode == 0, answer.stderr
    with opened(tmp_path / "app") as engine:
        assert get(engine, b"a") == b"value"


MAKE = """
print("ready", flush=True)
sys.stdin.readline()
with opened(Path(sys.argv[1]), lock_timeout=30.0) as engine:
    put(engine, sys.argv[2].encode())
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.row("E-066")
def test_processes_that_make_one_database_at_once_make_one(tmp_path: Path) -> None:
    children = [start_child(MAKE, tmp_path / "app", number) for number in range(4)]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "done\n"
    finally:
        for child in children:
            kill(child)
    with opened(tmp_path / "app") as engine:
        assert contents(engine).keys() == {b"%d" % number for number in range(4)}


def test_an_opening_that_is_cancelled_leaves_nothing_locked(tmp_path: Path) -> None:
    async def give_up() -> None:
        for delay in (0.0, 0.0005, 0.002, 0.01):
            engine = make(tmp_path / "app")
            opening = asyncio.create_task(engine.open())
            await asyncio.sleep(delay)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await engine.close()

    asyncio.run(give_up())
    with opened(tmp_path / "app", lock_timeout=20.0) as engine:
        put(engine, b"a")


def test_many_tasks_share_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = [0]
    real = segment.flush

    def counting(descriptor: int) -> None:
        flushes[0] += 1
        real(descriptor)

    async def write() -> None:
        engine = make(tmp_path / "app")
        await engine.open()
        monkeypatch.setattr(segment, "flush", counting)
        await asyncio.gather(
            *(engine.commit(Batch([Put(b"%d" % number, b"")])) for number in range(200))
        )
        assert len((await engine.scan(Range())).rows) == 200
        assert 0 < flushes[0] < 60
        await engine.close()

    asyncio.run(write())
