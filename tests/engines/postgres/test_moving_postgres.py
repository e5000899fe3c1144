"""Checks and watches on an engine without snapshots: postgres."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.engines.postgres.scene import postgres_config
from tests.engines.servers.moving import *  # noqa: F403 - the tests themselves
from tests.engines.servers.whole_database import ConfigOf


@pytest.fixture
def config_of(tmp_path: Path) -> ConfigOf:
    return partial(postgres_config, tmp_path)
