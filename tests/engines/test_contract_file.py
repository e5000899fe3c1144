"""The file engine keeps every promise of the engine contract, in each format and mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.file import FileConfig, FileEngine
from holdfast.testing import EngineContract


@pytest.mark.row("K-005", "I-005", "E-066")
class TestFile(EngineContract):
    engine_type = FileEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return FileConfig(path=folder / "database")


@pytest.mark.row("K-005", "I-005")
class TestFileMessagePack(EngineContract):
    engine_type = FileEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return FileConfig(path=folder / "database", format="msgpack")


@pytest.mark.row("K-005", "I-005")
class TestFileRelaxed(EngineContract):
    engine_type = FileEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return FileConfig(path=folder / "database", durability="relaxed")
