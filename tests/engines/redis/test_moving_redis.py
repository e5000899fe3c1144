"""Checks and watches on an engine without snapshots: redis."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.engines.redis.scene import redis_config
from tests.engines.servers.moving import *  # noqa: F403 - the tests themselves
from tests.engines.servers.whole_database import ConfigOf


@pytest.fixture
def config_of(tmp_path: Path) -> ConfigOf:
    return partial(redis_config, tmp_path)
