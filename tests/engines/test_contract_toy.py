"""The worked toy engine of CONTRIBUTING keeps every promise that it makes (E-001)."""

from pathlib import Path
from typing import ClassVar

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.testing import EngineContract
from tests.engines import toy


class ToyConfig(EngineConfig):
    scheme: ClassVar[str] = "toy"


@pytest.mark.row("E-001")
@pytest.mark.row("K-005")
class TestToy(EngineContract):
    engine_type = toy.ToyEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return ToyConfig()
