"""Real servers for tests, started once for each run: import these into a `conftest.py`.

    from tests.servers.fixtures import postgres_address, redis_address

Each test takes a database, schema or prefix of its own on the server. What crashes or fills a
server starts one of its own (`redis_server()`, `postgres_server()` in `processes.py`).

A missing server fails its tests, since what is not tested is not promised. With
`HOLDFAST_WITHOUT=redis,postgres` the tests that need one of those are skipped, and say so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.processes import Server, postgres_in, redis_in
from tests.servers.shared import Address, meeting_place, shared_server


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A Redis that flushes each write: `port` on loopback."""

    def start(folder: Path) -> Address:
        return _started(redis_in(folder, appendfsync="always"))

    with shared_server(meeting_place(tmp_path_factory), "redis", start) as address:
        yield address


@pytest.fixture(scope="session")
def postgres_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A PostgreSQL whose superuser `postgres` is trusted: `port` on loopback. It never flushes."""

    def start(folder: Path) -> Address:
        del folder  # Only we may enter it, and the server has an account of its own.
        own = Path(tempfile.mkdtemp(prefix="holdfast-server-"))
        return _started(postgres_in(own, fsync="off")) | {"folder": str(own)}

    with shared_server(meeting_place(tmp_path_factory), "postgres", start) as address:
        yield address


def _started(server: Server) -> Address:
    server.start()
    assert server.process is not None
    pid = server.process.pid
    server.process.returncode = 0  # It is ended by its number, perhaps by another process.
    # Nothing of it is kept, so nothing need be written back.
    return {"port": server.port, "pid": pid, "signal": server.crash_signal.name}
