"""Engines that nobody closes: collected, cancelled, or open at the end of the process."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from weakref import ref

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import StoreLocked
from holdfast.engines.lmdb import LmdbEngine, warm_up
from holdfast.engines.lmdb.journaled import Journaled
from holdfast.engines.lmdb.relaxed import Relaxed
from holdfast.runtime.system import drive
from tests.engines.lmdb_database import get, keys, make, opened, put, run_child

MODES = ("full", "relaxed")


def _resources() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def _collected(dropped: ref[LmdbEngine]) -> None:
    """Return when the engine is gone: its thread may just be flushing."""
    for look in range(500):
        if look % 50 == 0:  # Often enough, and dear in a process that holds much.
            gc.collect()
        if dropped() is None:
            return
        threading.Event().wait(0.01)
    raise AssertionError("something still holds the engine")


def _settled(expected: tuple[int, int]) -> tuple[int, int]:
    """The resources once threads that are about to end have ended."""
    for _ in range(200):
        found = _resources()
        if found <= expected:
            break
        threading.Event().wait(0.01)
    return found


@pytest.mark.parametrize("durability", MODES)
def test_engines_that_were_dropped_keep_nothing(tmp_path: Path, durability: str) -> None:
    with opened(tmp_path / "warm", durability=durability) as engine:
        put(engine, b"a")
    before = _resources()
    for number in range(20):
        engine = make(tmp_path / str(number), durability=durability)
        drive(engine.open())
        asyncio.run(_write(engine))
        put(engine, b"key")
        dropped = ref(engine)
        del engine
        with pytest.warns(ResourceWarning, match="never closed"):
            _collected(dropped)
    after = _settled(before)
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    for number in range(20):
        with opened(tmp_path / str(number)) as engine:
            assert get(engine, b"key") == b"value"


async def _write(engine: LmdbEngine) -> None:
    await engine.commit(Batch([Put(b"loop", b"")]))


def test_a_process_that_ends_without_a_close_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    program = """
    engine = make(Path(sys.argv[1]), durability="relaxed", flush_interval=3600.0)
    drive(engine.open())
    for number in range(100):
        put(engine, b"%d" % number)
    print(engine.lineage)
    """
    answer = run_child(program, tmp_path / "app")
    assert answer.stderr == ""
    with opened(tmp_path / "app") as engine:
        assert len(keys(engine)) == 100
        assert engine.lineage == answer.stdout.strip(), "nothing was lost, so cursors are good"


@pytest.mark.parametrize("durability", MODES)
def test_a_cancelled_open_or_close_leaves_nothing_open(tmp_path: Path, durability: str) -> None:
    async def main() -> None:
        path = tmp_path / "app"
        for turn in range(15):
            engine = make(path, durability=durability)
            opening = asyncio.ensure_future(engine.open())
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0005 * (turn % 5))
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await engine.close()
        for turn in range(15):
            engine = await _opened_soon(path, durability)
            closing = asyncio.ensure_future(engine.close())
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            await engine.close()
        engine = await _opened_soon(path, durability)
        await _write(engine)
        await engine.close()

    asyncio.run(main())
    before = _resources()
    asyncio.run(main())
    after = _settled(before)
    assert after[0] <= before[0]
    assert after[1] <= before[1]


async def _opened_soon(path: Path, durability: str) -> LmdbEngine:
    """An engine; one whose opening was cancelled may still be closing."""
    for _ in range(500):
        engine = make(path, durability=durability)
        try:
            await engine.open()
        except StoreLocked:
            await asyncio.sleep(0.01)
        else:
            return engine
    raise AssertionError("the path stays taken")


@pytest.mark.parametrize("settings", [{"durability": "relaxed"}, {"journal": 64 * 1024}])
def test_an_engine_is_flushed_on_its_own_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Where that holds it last, it is collected and closed there, and must not wait for itself."""
    monkeypatch.setattr(warm_up, "WARM_UP_COMMITS", 0)
    with opened(tmp_path / "app", **settings, flush_interval=3600.0) as engine:
        for number in range(5):
            put(engine, b"%d" % number)
        layered = engine._layered
        assert isinstance(layered, Relaxed | Journaled)
        ended: SimpleQueue[None] = SimpleQueue()

        def look(*, due: bool) -> float | None:
            if isinstance(layered, Journaled) and layered.on:
                layered._roll()
            engine._flush()
            ended.put(None)
            return None

        monkeypatch.setattr(layered, "look", look)
        layered._ring()
        ended.get(timeout=20)
        assert layered.layers.hides_nothing
        monkeypatch.undo()
    with opened(tmp_path / "app") as engine:
        assert len(keys(engine)) == 5
