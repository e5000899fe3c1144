"""A primary is killed under load: what is lost, and for how long nobody answers.

    python examples/state/failover.py

It starts servers of its own: a primary, a replica, three sentinels. A write is promised when the
replica has confirmed it, too (`WAIT`); one that was only acknowledged may be lost with the primary.
"""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from holdfast.contract.errors import StoreError
from holdfast.state import ExtensionArea, RedisAdapter, ScopedStore, SentinelAdapter, build_store

#: How long the load lasts before and after the kill, in seconds; a fail-over's longest time.
BEFORE_S, AFTER_S, PATIENCE_S = 1.0, 0.5, 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    folder: Path, *options: str, config: str | None = None
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    command = shutil.which("redis-server")
    assert command, "install redis-server: apt-get install redis-server"
    folder.mkdir()
    port = free_port()
    if config is not None:
        (folder / "server.conf").write_text(config)
        options = (str(folder / "server.conf"), "--sentinel", *options)
    common = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([command, *options, *common], stdout=log, stderr=log)
    try:
        yield port, process
    finally:
        process.kill()
        process.wait()


async def asked(port: int, *words: str) -> bytes:
    try:
        async with RedisAdapter.from_url(f"redis://127.0.0.1:{port}") as adapter:
            answer: bytes = await adapter.client.send(words)
            return answer
    except StoreError:
        return b""


async def until_said(port: int, section: str, wanted: bytes) -> None:
    for _ in range(600):
        if wanted in await asked(port, "INFO", section):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the server at {port} does not say {wanted!r}")


class Raw(ExtensionArea):
    name = "raw"

    async def confirmed(self) -> bool:
        """Whether the replica has what this connection wrote."""
        return bool(await self._adapter.client.send(("WAIT", 1, 100)) >= 1)


class Load:
    """Writes as fast as it can, and knows what became of each write."""

    def __init__(self, store: ScopedStore) -> None:
        self.store = store
        self.acknowledged: set[int] = set()
        self.promised: set[int] = set()
        self.answered_at = time.monotonic()
        self.longest_silence_s = 0.0
        self._next = 0

    async def run(self) -> None:
        client = self.store.area(Raw)
        while True:
            self._next += 1
            number = self._next
            try:
                await self.store.kv.set(f"order:{number}", number)
                self.acknowledged.add(number)
                if await client.confirmed():
                    self.promised.add(number)
            except StoreError:
                await asyncio.sleep(0.02)
                continue
            now = time.monotonic()
            self.longest_silence_s = max(self.longest_silence_s, now - self.answered_at)
            self.answered_at = now


async def main(folder: Path, stack: ExitStack) -> None:
    primary, process = stack.enter_context(server(folder / "one", "--save", ""))
    replica, _ = stack.enter_context(
        server(
            folder / "two", "--save", "", "--replicaof", f"127.0.0.1 {primary}",
            "--repl-diskless-sync-delay", "0",
        )
    )  # fmt: skip
    monitor = (
        f"sentinel monitor main 127.0.0.1 {primary} 2\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    )
    sentinels = [
        stack.enter_context(server(folder / f"sentinel{n}", config=monitor))[0] for n in range(3)
    ]
    await until_said(replica, "replication", b"master_link_status:up")
    for port in sentinels:
        await until_said(port, "sentinel", b"slaves=1,sentinels=3")
    hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
    adapter = SentinelAdapter.from_url(f"redis+sentinel://{hosts}/main", timeout_s=1.0)
    async with build_store(adapter, "shop") as store:
        load = Load(store)
        writers = [asyncio.create_task(load.run()) for _ in range(4)]
        await asyncio.sleep(BEFORE_S)
        process.kill()
        killed_at = time.monotonic()
        while load.answered_at < killed_at + AFTER_S:
            assert time.monotonic() - killed_at < PATIENCE_S, "nobody took over"
            await asyncio.sleep(0.05)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        keys = sorted(load.acknowledged)
        values = []
        for start in range(0, len(keys), 1000):
            values += await store.batch.get([f"order:{n}" for n in keys[start : start + 1000]])
        lost = {key for key, value in zip(keys, values, strict=True) if value is None}
        others = len(lost - load.promised)
        print(f"promised {len(load.promised)} writes, lost of them: {len(lost & load.promised)}")
        print(f"acknowledged by the primary alone and lost with it: {others}")
        print(f"no answer for {load.longest_silence_s:.1f} s")
        assert not lost & load.promised


with tempfile.TemporaryDirectory() as made, ExitStack() as stopping:
    asyncio.run(main(Path(made), stopping))
