"""The memory engine keeps the contract (E-061)."""

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.testing import EngineContract


@pytest.mark.row("E-061")
@pytest.mark.row("E-062")
@pytest.mark.row("K-005", "I-005")
class TestMemory(EngineContract):
    engine_type = MemoryEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()
