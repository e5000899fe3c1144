"""A row from memory is the row that stands there, whoever wrote it and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.record import Range, Record
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.cache import ROW_BYTES, Cache
from holdfast.layers.faults import FaultPlan, FaultsLayer
from holdfast.runtime.system import drive, system_components


class Far(Layer):
    """An engine that says it is behind a network."""

    passes_reads = True
    passes_writes = True
    now = 0

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, io=Io.REMOTE)

    @property
    def lineage(self) -> str:
        return f"{self.inner.lineage}-{self.now}"


@pytest.fixture
def engine() -> FaultsLayer:
    inner = FaultsLayer(MemoryEngine(MemoryConfig(), system_components()), FaultPlan())
    drive(inner.open())
    return inner


def put(engine: Engine, key: bytes, value: bytes) -> None:
    drive(engine.commit(Batch([Put(key, value)])))


def test_what_is_read_again_is_not_read_again(engine: FaultsLayer) -> None:
    layer = Cache()(Far(engine))
    put(layer, b"k", b"1")
    for _ in range(3):
        assert drive(layer.read([b"k"])) == [Record(b"1", 1)]
        assert drive(layer.read([b"absent"])) == [None]
    assert engine.calls["read"] == 2
    assert (layer.hits, layer.misses) == (4, 2)
    put(engine, b"other", b"")  # By somebody else, past the layer.
    assert drive(layer.read([b"k"])) == [Record(b"1", 1)]
    assert engine.calls["read"] == 3
    with drive(layer.snapshot()) as moment:
        drive(layer.read([b"k"], at=moment))
        drive(layer.read([b"k", b"absent"]))
        assert drive(layer.scan(Range())).rows[0][0] == b"k"
    assert engine.calls["read"] == 5


KEYS = st.sampled_from([b"a", b"b", b"c"])


@given(st.lists(st.tuples(st.sampled_from(["here", "there", "gone", "read"]), KEYS), max_size=40))
def test_it_reads_what_the_engine_reads(steps: list[tuple[str, bytes]]) -> None:
    engine = MemoryEngine(MemoryConfig(), system_components())
    drive(engine.open())
    layer = Cache(rows=2)(Far(engine))
    for number, (step, key) in enumerate(steps):
        if step == "here":
            put(layer, key, b"%d" % number)
        elif step == "there":
            put(engine, key, b"%d" % number)
        elif step == "gone":
            drive(engine.commit(Batch([Delete(key)])))
        assert drive(layer.read([key])) == drive(engine.read([key]))
    drive(engine.close())


def test_a_commit_between_the_question_and_the_read_is_seen(engine: FaultsLayer) -> None:
    put(engine, b"k", b"old")

    class Racing(Far):
        """Somebody commits after the head was told, before the row is read."""

        passes_reads = False
        races = 1

        async def read(self, keys: Any, *, at: Any = None) -> Any:
            if self.races:
                self.races -= 1
                await self.inner.commit(Batch([Put(b"k", b"new")]))
            return await self.inner.read(keys, at=at)

    layer = Cache()(Racing(engine))
    assert drive(layer.read([b"k"])) == [Record(b"new", 2)]
    assert drive(layer.read([b"k"])) == [Record(b"new", 2)]
    assert layer.hits == 0, "what was read belongs to no moment that is known"
    drive(layer.read([b"k"]))
    assert layer.hits == 1


def test_a_new_line_of_history_forgets(engine: FaultsLayer) -> None:
    far = Far(engine)
    layer = Cache()(far)
    drive(layer.read([b"k"]))
    far.now = 1  # The server failed over and lost commits: numbers mean something else.
    drive(layer.read([b"k"]))
    assert (layer.hits, layer.misses) == (0, 2)


def test_it_holds_no_more_than_it_may(engine: FaultsLayer) -> None:
    layer = Cache(rows=3)(Far(engine))
    drive(engine.commit(Batch([Put(b"%d" % n, bytes(1000)) for n in range(9)])))
    for n in range(9):
        drive(layer.read([b"%d" % n]))
    assert layer.size == 3 * (ROW_BYTES + 1001)
    drive(layer.read([b"6"]))
    drive(layer.read([b"0"]))
    drive(layer.read([b"6"]))  # Was used later than 7, which went.
    assert layer.hits == 2
    small = Cache(size=3000)(Far(engine))
    for n in range(9):
        drive(small.read([b"%d" % n]))
    assert small.size == 2 * (ROW_BYTES + 1001)
    tiny = Cache(size=100)(Far(engine))
    drive(tiny.read([b"0"]))
    assert tiny.size == 0
    drive(layer.close())
    assert layer.size == 0


def test_an_engine_of_this_machine_is_refused(engine: FaultsLayer) -> None:
    with pytest.raises(ConfigInvalid, match="memory answers from this machine"):
        Cache()(engine)
    for text in ("rows=0", "size=0", "row=1"):
        with pytest.raises(ConfigInvalid, match=r"rows|size"):
            Cache.from_text(text)
    assert Cache.from_text("rows=5:size=1MiB") == Cache(rows=5, size=2**20)
