"""A blocking engine's calls leave the loop; callers without one keep them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import NOT_NOW, Snapshot
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.record import Range, Record
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.engines.lmdb.snapshot import LmdbSnapshot
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.offload import Offload
from holdfast.runtime.system import drive, system_components


class Noting(LmdbEngine):
    """Notes in which threads it is read, and can be held up."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Event()
        self.snapshots: list[Snapshot] = []

    async def read(self, keys: Any, *, at: Any = None) -> Any:
        self.threads.add(threading.get_ident())
        return await super().read(keys, at=at)

    async def snapshot(self) -> LmdbSnapshot:
        self.asked.set()
        assert self.go_on.wait(10)
        snapshot = await super().snapshot()
        self.snapshots.append(snapshot)
        return snapshot


def noting(tmp_path: Path) -> Noting:
    config = LmdbConfig(path=tmp_path / "app", durability="relaxed")
    return Noting(config, system_components())


def test_on_a_loop_it_is_read_elsewhere(tmp_path: Path) -> None:
    engine = noting(tmp_path)
    layer = Offload()(engine)

    async def main() -> None:
        await layer.open()
        await layer.commit(Batch([Put(b"k", b"1")]))
        assert await layer.read([b"k"]) == [Record(b"1", 1)]
        assert threading.get_ident() not in engine.threads
        assert layer.peek is not None
        assert layer.peek(b"k") is NOT_NOW
        with await layer.snapshot() as moment:
            await layer.commit(Batch([Put(b"k", b"2")]))
            assert (await layer.scan(Range(), at=moment)).rows == [(b"k", Record(b"1", 1))]
        assert await layer.check() == []
        for kind in (StopIteration, KeyError, asyncio.CancelledError):
            with pytest.raises((kind, RuntimeError)):
                await layer.transact([], _raising(kind))
        await layer.close()

    asyncio.run(main())


def _raising(kind: type[BaseException]) -> Any:
    def decide(*_: Any) -> Any:
        raise kind

    return decide


def test_without_a_loop_it_stays_here(tmp_path: Path) -> None:
    engine = noting(tmp_path)
    layer = Offload()(engine)
    drive(layer.open())
    drive(layer.commit(Batch([Put(b"k", b"1")])))
    assert drive(layer.read([b"k"])) == [Record(b"1", 1)]
    assert engine.threads == {threading.get_ident()}
    assert layer.peek is not None
    assert layer.peek(b"k") == (b"1", 1)
    drive(layer.close())


def test_a_snapshot_that_nobody_waits_for_any_more_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = noting(tmp_path)
    layer = Offload()(engine)
    closed: list[Snapshot] = []
    given_back = threading.Event()
    close = LmdbSnapshot.close

    def noted(self: LmdbSnapshot) -> None:
        closed.append(self)
        close(self)
        given_back.set()

    monkeypatch.setattr(LmdbSnapshot, "close", noted)

    async def main() -> None:
        await layer.open()
        await layer.commit(Batch([Put(b"k", b"1")]))
        engine.go_on.clear()
        taking = asyncio.create_task(layer.snapshot())
        await asyncio.to_thread(engine.asked.wait, 10)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        given_back.clear()
        engine.go_on.set()
        assert await asyncio.to_thread(given_back.wait, 10)
        await layer.close()

    asyncio.run(main())
    assert engine.snapshots[0] in closed


def test_who_holds_no_thread_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="memory holds none"):
        Offload()(MemoryEngine(MemoryConfig(), system_components()))


@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_entries_work_on_it(tmp_path: Path, engine: str) -> None:
    async def main() -> None:
        async with holdfast.open(f"{engine}:///{tmp_path / 'app'}?layers=offload") as db:
            await db.entries.set_many({f"k:{n}": n for n in range(50)})
            assert (await db.entries.require("k:7")).value == 7
            assert await db.entries.count() == 50
            assert (await db.explain())["stack"][1] == "OffloadLayer"
            assert await db.check() == []

    asyncio.run(main())
