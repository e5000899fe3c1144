"""Watches on PostgreSQL while its sessions are ended."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.engines.postgres.scene import postgres_config
from tests.engines.postgres.test_postgres_connections import cut as cut_sessions
from tests.engines.servers.watching import *  # noqa: F403 - the tests themselves
from tests.engines.servers.watching import Cut
from tests.engines.servers.whole_database import ConfigOf


@pytest.fixture
def config_of(tmp_path: Path) -> ConfigOf:
    return partial(postgres_config, tmp_path)


@pytest.fixture
def cut(tmp_path: Path) -> Cut:
    config = postgres_config(tmp_path)

    async def cut(*, listeners: bool = False) -> int:
        ended = await cut_sessions(config.port, config.schema, listeners=True)
        if not listeners:
            ended += await cut_sessions(config.port, config.schema, listeners=False)
        return ended

    return cut
