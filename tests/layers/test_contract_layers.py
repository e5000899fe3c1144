"""Every layer on the memory engine keeps every promise of the engine, alone and stacked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.record import Record
from holdfast.contract.runtime import Components
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.cache import CacheLayer
from holdfast.layers.metrics import Measurements, Metrics
from holdfast.layers.stack import MakeLayer, stack
from holdfast.testing import EngineContract, Subject, promise

pytestmark = pytest.mark.torture


class Layered(EngineContract):
    """A stack on the memory engine."""

    layers: ClassVar[list[str | MakeLayer]]
    model_examples = 10

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        return stack(MemoryEngine(config, components), self.layers)


class TestCompress(Layered):
    layers: ClassVar[list[str | MakeLayer]] = ["compress:above=128"]


class TestRetry(Layered):
    layers: ClassVar[list[str | MakeLayer]] = ["retry"]


class TestMetrics(Layered):
    layers: ClassVar[list[str | MakeLayer]] = [Metrics(into=Measurements())]


class TestTimeLimit(Layered):
    layers: ClassVar[list[str | MakeLayer]] = ["time_limit"]


class TestBreaker(Layered):
    layers: ClassVar[list[str | MakeLayer]] = ["breaker"]


class TestCache(Layered):
    # As the class: by its name it refuses an engine without a server.
    layers: ClassVar[list[str | MakeLayer]] = [CacheLayer]


class TestOffload(Layered):
    layers: ClassVar[list[str | MakeLayer]] = ["offload"]

    def make_config(self, folder: Path) -> EngineConfig:
        return LmdbConfig(path=folder / "database", durability="relaxed")

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        return stack(LmdbEngine(config, components), self.layers)

    @promise(tasks=True)
    async def test_an_engine_that_waits_for_a_server_lets_its_loop_turn_meanwhile(
        self, subject: Subject
    ) -> None:
        # This engine waits for none: that the loop turns all the same is what the layer is for.
        engine = await subject.open()
        await engine.commit(Batch([Put(b"k", b"1")]))
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.create_task(turn())
        await asyncio.sleep(0)
        began = turns
        assert await engine.read([b"k"]) == [Record(b"1", 1)]
        turned = turns - began
        turning.cancel()
        assert turned


class TestAll(Layered):
    layers: ClassVar[list[str | MakeLayer]] = [
        "metrics", "breaker", "retry", "time_limit", CacheLayer, "compress:compression=lz4",
    ]  # fmt: skip
