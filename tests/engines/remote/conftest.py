"""The server that these tests share; other processes find it by an environment variable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.remote.loopback_engine import PORT
from tests.servers.loopback import start_loopback
from tests.servers.shared import meeting_place, shared_server


@pytest.fixture(scope="session", autouse=True)
def loopback_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with (
        shared_server(meeting_place(tmp_path_factory), "loopback", start_loopback) as address,
        # Other folders import this fixture, and pytest then has several: each puts back what was.
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv(PORT, str(address["port"]))
        yield address["port"]
