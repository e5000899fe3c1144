"""Isolation on an engine without snapshots: redis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.engines.remote.config import RemoteConfig
from tests.engines.redis.scene import redis_config
from tests.engines.servers.isolation import *  # noqa: F403 - the tests themselves


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[[str], RemoteConfig]:
    """A database for each name."""
    return lambda name: redis_config(f"{tmp_path}-{name}")
