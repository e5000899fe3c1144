"""A layer keeps the calls without a coroutine only if it says that it changes nothing of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from holdfast.contract.batch import (
    Answer,
    Append,
    Batch,
    Decide,
    Delete,
    Draft,
    Need,
    Put,
    Receipt,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine, Layer, Peeked, Snapshot, decided_batch
from holdfast.contract.limits import check_batch, check_draft
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.system import drive, system_components
from holdfast.testing import EngineContract, promises_of


class Passing(Layer):
    """Changes nothing."""

    passes_reads = True
    passes_writes = True


class Flipping(Layer):
    """Stores the bits of every value turned over: changes reads and writes, and says so."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await self.inner.read(keys, at=at)
        return [record and _flipped_record(record) for record in records]

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await self.inner.scan(range, at=at)
        return page._replace(rows=[(key, _flipped_record(record)) for key, record in page.rows])

    async def commit(self, batch: Batch) -> Receipt:
        check_batch(batch, self.capabilities)  # Or it would turn over what is no bytes.
        return _told(await self.inner.commit(_flipped_batch(batch)))

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        def flipped(records: list[Record | None], revision: int) -> Answer:
            answer = decide([one and _flipped_record(one) for one in records], revision)
            if answer is None or isinstance(answer, Need):
                return answer
            if isinstance(answer, Draft):
                check_draft(answer, self.capabilities)
            batch = decided_batch(answer)
            check_batch(batch, self.capabilities)
            return _flipped_batch(batch)

        return _told(await self.inner.transact(keys, flipped, previous=previous))


class Leaking(Flipping):
    """Hands the calls below through although it changes what they answer."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self.peek = inner.peek
        self.peek_page = inner.peek_page


def _flip(value: bytes) -> bytes:
    return bytes(255 - byte for byte in value)


def _flipped_record(record: Record) -> Record:
    return Record(_flip(record.value), record.revision)


def _flipped_batch(batch: Batch) -> Batch:
    return replace(batch, operations=[
        one._replace(value=_flip(one.value)) if isinstance(one, Put | Append) else one
        for one in batch.operations
    ])  # fmt: skip


def _told(receipt: Receipt) -> Receipt:
    if receipt.previous is None:
        return receipt
    return receipt._replace(
        previous={key: one and _flipped_record(one) for key, one in receipt.previous.items()}
    )


@pytest.fixture
def engine() -> Engine:
    inner = MemoryEngine(MemoryConfig(), system_components())
    drive(inner.open())
    drive(inner.commit(Batch([Put(b"k", b"value")])))
    return inner


def test_a_layer_that_says_nothing_keeps_no_call(engine: Engine) -> None:
    layer = Flipping(engine)
    assert (layer.peek, layer.peek_page, layer.transact_now) == (None, None, None)


def test_a_layer_that_passes_keeps_what_the_engine_has(engine: Engine) -> None:
    layer = Passing(Passing(engine))
    assert layer.peek is not None
    assert layer.peek(b"k") == (b"value", 1)
    assert layer.peek_page is not None
    assert layer.peek_page(Range()) == drive(engine.scan(Range()))
    assert layer.transact_now is not None
    receipt = layer.transact_now([b"k"], lambda *_: Batch([Delete(b"k")]))
    assert isinstance(receipt, Receipt)
    assert layer.peek(b"k") is None
    above_flipping = Passing(Flipping(engine))
    assert (above_flipping.peek, above_flipping.transact_now) == (None, None)


def test_a_layer_of_its_own_peek_is_asked_only_where_the_engine_can(engine: Engine) -> None:
    class Own(Flipping):
        def peek(self, key: bytes) -> Peeked:
            assert self.inner.peek is not None
            found = self.inner.peek(key)
            return (_flip(found[0]), found[1]) if isinstance(found, tuple) else found

    layer = Own(engine)
    assert layer.peek is not None
    drive(layer.commit(Batch([Put(b"k", b"turned")])))
    assert layer.peek(b"k") == (b"turned", 2)
    assert Own(Flipping(engine)).peek is None


@pytest.mark.parametrize("verb", ["read", "scan"])
def test_who_says_that_reads_pass_and_changes_them_is_refused(verb: str) -> None:
    with pytest.raises(TypeError, match=f"says passes_reads and overrides {verb}"):
        type("Lying", (Passing,), {verb: getattr(Flipping, verb)})
    type("Honest", (Passing,), {"passes_reads": False, verb: getattr(Flipping, verb)})


@pytest.mark.parametrize("verb", ["commit", "transact"])
def test_who_says_that_writes_pass_and_changes_them_is_refused(verb: str) -> None:
    with pytest.raises(TypeError, match=f"says passes_writes and overrides {verb}"):
        type("Lying", (Passing,), {verb: getattr(Flipping, verb)})


class Stacked(EngineContract):
    """A layer on the memory engine."""

    layers: ClassVar[list[type[Layer]]]
    model_examples = 10

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        engine: Engine = MemoryEngine(config, components)
        for layer in self.layers:
            engine = layer(engine)
        return engine


class Loadable(Flipping):
    """Its rows are loaded as they stand below, so it does not offer to load."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, loads=False)

    load = Engine.load


class TestPassing(Stacked):
    layers: ClassVar[list[type[Layer]]] = [Passing, Passing]


class TestFlipping(Stacked):
    layers: ClassVar[list[type[Layer]]] = [Loadable]


class LeakingStack(Stacked):
    layers: ClassVar[list[type[Layer]]] = [Leaking]


@pytest.mark.row("trap 50")
def test_the_suite_catches_a_layer_that_lets_calls_pass_it_by(tmp_path: Path) -> None:
    promises = promises_of(LeakingStack)
    for name in ("peeking_sees_what_reading_sees", "a_page_peeked_at_is_the_page_that_is_scanned"):
        place = tmp_path / name
        place.mkdir()
        with pytest.raises(AssertionError, match="peek answers"):
            promises[f"test_{name}"](LeakingStack(), place)
