"""Watches on Redis while its connections are ended."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.engines.redis.scene import redis_config, told
from tests.engines.servers.watching import *  # noqa: F403 - the tests themselves
from tests.engines.servers.watching import Cut
from tests.engines.servers.whole_database import ConfigOf
from tests.servers.processes import Server, redis_server


@pytest.fixture
def server() -> Iterator[Server]:
    """One of its own: what is done to it concerns all its clients."""
    with redis_server(appendfsync=None) as started:
        yield started


@pytest.fixture
def config_of(server: Server) -> ConfigOf:
    return partial(redis_config, "watched", port=server.port)


@pytest.fixture
def cut(server: Server) -> Cut:
    async def cut(*, listeners: bool = False) -> int:
        kinds = ("pubsub",) if listeners else ("pubsub", "normal")
        kill = ("CLIENT", "KILL", "SKIPME", "yes", "TYPE")
        return sum([int(await told(server.port, *kill, kind)) for kind in kinds])

    return cut
