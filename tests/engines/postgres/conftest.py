"""The server that these tests share; other processes find it by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.engines.postgres.scene import PORT
from tests.servers.fixtures import postgres_address
from tests.servers.shared import Address
from tests.store.scene import pytest_pyfunc_call

__all__ = ["postgres_address", "pytest_pyfunc_call"]


@pytest.fixture(scope="session", autouse=True)
def postgres_port(postgres_address: Address) -> Iterator[int]:
    os.environ[PORT] = str(postgres_address["port"])
    yield postgres_address["port"]
    os.environ.pop(PORT, None)  # A module that imports this fixture may have ended it, too.
