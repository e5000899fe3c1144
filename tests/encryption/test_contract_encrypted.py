"""An engine with the layer that encrypts above it keeps every promise of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.runtime import Components
from holdfast.encryption import Encryption
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.testing import EngineContract
from tests.encryption.keys import SeededKeys


def encrypted(engine: Engine) -> Engine:
    return Encryption(SeededKeys())(engine)


@pytest.mark.torture
@pytest.mark.row("E-129")
class TestEncryptedMemory(EngineContract):
    engine_type = MemoryEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        return encrypted(MemoryEngine(config, components))


@pytest.mark.torture
@pytest.mark.row("E-129")
class TestEncryptedLmdb(EngineContract):
    engine_type = LmdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return LmdbConfig(path=folder / "database")

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        return encrypted(LmdbEngine(config, components))
