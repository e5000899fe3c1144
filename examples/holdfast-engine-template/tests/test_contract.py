"""The contract suite on this engine: it asks for what is claimed and refuses what is not."""

from pathlib import Path
from typing import Any

from holdfast_dict import DictConfig, DictEngine

from holdfast.testing import EngineContract


class TestDict(EngineContract):
    engine_type = DictEngine

    def make_config(self, folder: Path) -> Any:
        return DictConfig(page_rows=7)
