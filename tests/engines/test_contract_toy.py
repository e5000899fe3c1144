"""The worked toy engine of CONTRIBUTING keeps every promise, and is as small as it says (E-001)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.testing import EngineContract
from tests.engines import toy


@dataclass(frozen=True, kw_only=True)
class ToyConfig(EngineConfig):
    scheme: ClassVar[str] = "toy"


@pytest.mark.row("E-001")
@pytest.mark.row("E-062")
class TestToy(EngineContract):
    # Its pages need no count of bytes: fifty of its largest rows stay below the limit of a page.
    engine_type = toy.ToyEngine

    def make_config(self, folder: Path) -> EngineConfig:
        return ToyConfig()


@pytest.mark.row("E-001")
def test_the_toy_has_less_than_sixty_lines() -> None:
    lines = Path(toy.__file__).read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 60
