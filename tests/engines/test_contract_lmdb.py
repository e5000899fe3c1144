"""The LMDB engine keeps every promise of the engine contract, in both durability modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.testing import EngineContract


@pytest.mark.row("K-005", "I-005")
class TestLmdb(EngineContract):
    engine_type = LmdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return LmdbConfig(path=folder / "database")


@pytest.mark.row("K-005", "I-005")
class TestLmdbRelaxed(EngineContract):
    engine_type = LmdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return LmdbConfig(path=folder / "database", durability="relaxed")
