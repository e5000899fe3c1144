"""The engine on Redis keeps every promise of the engine contract, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.config import EngineConfig
from holdfast.engines.redis import RedisEngine
from holdfast.testing import EngineContract
from tests.engines.redis.conftest import redis_address, redis_port
from tests.engines.redis.scene import redis_config

#: The server, for this module.
__all__ = ["redis_address", "redis_port"]


@pytest.mark.row("K-005", "I-005")
class TestRedis(EngineContract):
    engine_type = RedisEngine
    model_examples = 5

    def make_config(self, folder: Path) -> EngineConfig:
        return redis_config(folder)
