"""The LevelDB engine keeps every promise of the engine contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.leveldb import LeveldbConfig, LeveldbEngine
from holdfast.testing import EngineContract
from tests.engines.lsm.memory import tmp_path

__all__ = ["tmp_path"]


@pytest.mark.row("K-005", "I-005", "E-079")
class TestLeveldb(EngineContract):
    engine_type = LeveldbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return LeveldbConfig(path=folder / "database")
