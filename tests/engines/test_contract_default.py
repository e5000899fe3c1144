"""The default `transact` (read, decide, check, try again) keeps the contract too."""

from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.contract.capability import Capabilities
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.testing import EngineContract


class DefaultTransact(MemoryEngine):
    """An engine that only knows how to commit."""

    transact = Engine.transact
    transact_now = None  # type: ignore[assignment]

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, transacts_once=False)


@pytest.mark.row("K-005", "I-005")
class TestDefaultTransact(EngineContract):
    engine_type = DefaultTransact

    def make_config(self, folder: Path) -> EngineConfig:
        return MemoryConfig()
