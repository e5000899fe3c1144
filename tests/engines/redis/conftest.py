"""The server that these tests share; other processes find it by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.engines.redis.scene import PORT
from tests.servers.fixtures import redis_address
from tests.servers.shared import Address
from tests.store.scene import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call", "redis_address"]


@pytest.fixture(scope="session", autouse=True)
def redis_port(redis_address: Address) -> Iterator[int]:
    os.environ[PORT] = str(redis_address["port"])
    yield redis_address["port"]
    os.environ.pop(PORT, None)  # A module that imports this fixture may have ended it, too.
