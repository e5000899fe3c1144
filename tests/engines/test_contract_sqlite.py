"""The SQLite engine keeps every promise of the engine contract, in both durability modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.sqlite import SqliteConfig, SqliteEngine
from holdfast.testing import EngineContract


@pytest.mark.row("K-005", "I-005")
class TestSqlite(EngineContract):
    engine_type = SqliteEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return SqliteConfig(path=folder / "database.sqlite")


@pytest.mark.row("K-005", "I-005")
class TestSqliteRelaxed(EngineContract):
    engine_type = SqliteEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return SqliteConfig(path=folder / "database.sqlite", durability="relaxed")
