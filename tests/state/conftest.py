"""A Redis server of the run's own, on a free loopback port in a temporary folder."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from holdfast.state import ScopedStore, StoreBuilder
from tests.servers.processes import executable, free_port
from tests.servers.redis_groups import Cluster, redis_cluster
from tests.state.places import Folder, Place, opened_at, said, unchanged


@dataclass
class RedisServer:
    """One server process. `kill` is sudden; `start` begins again on the same port and folder."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    #: What comes before the options: a file, or the way to run.
    command: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *, ready: bool = True) -> None:
        command = executable("redis-server")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [command, *self.command, "--port", str(self.port), "--bind", "127.0.0.1",
                 *(() if self.command else ("--save", "")), "--dir", str(self.folder),
                 *self.options],
                stdout=log, stderr=log,
            )  # fmt: skip
        asyncio.run(self._answers(ready=ready))

    async def _answers(self, *, ready: bool) -> None:
        for _ in range(200):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"PING\r\n")
                said = await reader.readline()
                writer.close()
                if not (ready and said.startswith(b"-LOADING")):
                    return
            except OSError:
                pass
            await asyncio.sleep(0.025)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The shared server: tests keep apart by their service's name."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["redis", "lmdb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the test keeps its state; it runs once on each."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        return server
    return Folder(f"lmdb:///{tmp_path}/state")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three primaries with a replica each that are shared like the server."""
    with redis_cluster() as made:
        yield made


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill. It keeps what it was told (append-only file)."""
    server = RedisServer(tmp_path / "redis", ("--appendonly", "yes", "--appendfsync", "always"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """A service name that no other test has."""
    safe = "".join(char if char.isalnum() else "_" for char in request.node.name)
    return f"{safe[:60]}_{abs(hash(request.node.nodeid)) % 10**8}"


def opened(
    place: Place, service: str, prepare: Callable[[StoreBuilder], StoreBuilder] = unchanged
) -> AbstractAsyncContextManager[ScopedStore]:
    """A store in a place."""
    return opened_at(place.url, service, prepare)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run on a loop of its own; what stays unfinished there is an error."""
    return asyncio.run(work, debug=False)


async def command(store: ScopedStore, *words: str | bytes | int) -> Any:
    """A command to the store's own keeper, past the store."""
    return await said(store._scene.adapter, *words)
