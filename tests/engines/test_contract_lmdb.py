"""The LMDB engine keeps the engine contract: in both durability modes, and on the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine, warm_up
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


@pytest.mark.row("K-005", "I-005")
class TestLmdbJournal(EngineContract):
    """Every commit that finds the database free goes to a journal of two small halves."""

    engine_type = LmdbEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return LmdbConfig(path=folder / "database", journal=64 * 1024)

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(warm_up, "WARM_UP_COMMITS", 0)
