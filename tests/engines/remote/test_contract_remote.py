"""The base of engines with a server keeps every promise of the contract, over a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.testing import EngineContract
from tests.engines.remote.loopback_engine import LoopbackEngine, loopback_config


@pytest.mark.row("K-005", "I-005")
class TestRemote(EngineContract):
    engine_type = LoopbackEngine
    model_examples = 5

    def make_config(self, folder: Path) -> EngineConfig:
        return loopback_config(str(folder))
