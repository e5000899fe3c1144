"""The engine on PostgreSQL keeps every promise of the engine contract, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.postgres import PostgresEngine
from holdfast.testing import EngineContract
from tests.engines.postgres.conftest import postgres_address, postgres_port
from tests.engines.postgres.scene import postgres_config

#: The server, for this module.
__all__ = ["postgres_address", "postgres_port"]


@pytest.mark.row("K-005", "I-005")
class TestPostgres(EngineContract):
    engine_type = PostgresEngine
    model_examples = 5

    def make_config(self, folder: Path) -> EngineConfig:
        return postgres_config(folder)
