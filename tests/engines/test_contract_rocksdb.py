"""The RocksDB engine keeps every promise of the engine contract, in both durability modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.rocksdb import RocksdbConfig, RocksdbEngine
from holdfast.testing import EngineContract
from tests.engines.lsm.memory import tmp_path

__all__ = ["tmp_path"]


@pytest.mark.row("K-005", "I-005", "E-081")
class TestRocksdb(EngineContract):
    engine_type = RocksdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return RocksdbConfig(path=folder / "database")


@pytest.mark.torture
@pytest.mark.row("K-005", "I-005")
class TestRocksdbRelaxed(EngineContract):
    engine_type = RocksdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return RocksdbConfig(path=folder / "database", durability="relaxed")
