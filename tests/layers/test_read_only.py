"""A handle that was opened for reading refuses every write, above and below the engine alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import holdfast
from holdfast.contract.batch import Batch, Put
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ReadOnly
from holdfast.contract.record import Range, Record
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.read_only import ReadOnlyLayer
from holdfast.runtime.system import drive, system_components


@pytest.fixture
def engine() -> Engine:
    inner = MemoryEngine(MemoryConfig(), system_components())
    drive(inner.open())
    drive(inner.commit(Batch([Put(b"k", b"1")])))
    return inner


def test_every_write_is_refused_and_leaves_nothing(engine: Engine) -> None:
    layer = ReadOnlyLayer(engine)
    decided = []
    writes = (
        lambda: layer.commit(Batch([Put(b"k", b"2")])),
        lambda: layer.transact([b"k"], lambda records, revision: decided.append(revision)),
        layer.compact,
        lambda: layer.load([(b"x", Record(b"", 7))]),
    )
    for write in writes:
        with pytest.raises(ReadOnly, match="for reading only"):
            drive(write())
    assert decided == []
    assert drive(engine.read([b"k", b"x"])) == [Record(b"1", 1), None]
    assert drive(engine.head()) == 1


def test_every_read_goes_through(engine: Engine) -> None:
    layer = ReadOnlyLayer(engine)
    assert drive(layer.read([b"k"])) == [Record(b"1", 1)]
    assert drive(layer.scan(Range())).rows == [(b"k", Record(b"1", 1))]
    assert drive(layer.head()) == drive(layer.wait(0)) == 1
    assert layer.lineage == engine.lineage
    with drive(layer.snapshot()) as moment:
        drive(engine.commit(Batch([Put(b"k", b"2")])))
        assert drive(layer.read([b"k"], at=moment)) == [Record(b"1", 1)]
        assert drive(layer.read([b"k"])) == [Record(b"2", 2)]
    assert drive(layer.check()) == []
    drive(layer.close())


def test_it_says_that_it_cannot_write(engine: Engine) -> None:
    below, above = engine.capabilities, ReadOnlyLayer(engine).capabilities
    changed = {
        name: getattr(above, name)
        for name in Capabilities.__dataclass_fields__
        if getattr(above, name) != getattr(below, name)
    }
    expected = {"writable": False, "compacts": False, "loads": False}
    assert changed == {name: no for name, no in expected.items() if getattr(below, name)}


@pytest.mark.parametrize("engine_name", ["lmdb", "sqlite"])
def test_a_handle_for_reading_beside_one_that_writes(tmp_path: Path, engine_name: str) -> None:
    url = f"{engine_name}:///{tmp_path / 'app'}"

    async def main() -> None:
        async with holdfast.open(url) as writing:
            await writing.entries.set("a:1", "written")
            async with holdfast.open(f"{url}?read_only=true") as reading:
                assert (await reading.entries.require("a:1")).value == "written"
                assert not reading.capabilities.writable
                for write in (
                    lambda: reading.entries.set("a:1", "refused"),
                    lambda: reading.entries.delete("a:1"),
                    lambda: reading.entries.set_many({"a:2": 1}),
                    reading.compact,
                ):
                    with pytest.raises(ReadOnly):
                        await write()
                await writing.entries.set("a:1", "again")
                assert (await reading.entries.require("a:1")).value == "again"
                assert await reading.check() == []
            assert await writing.entries.count() == 1

    asyncio.run(main())
