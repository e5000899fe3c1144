"""What tests of the engine on Redis do often."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from holdfast.contract.batch import Batch, Put
from holdfast.engines.redis import RedisConfig, RedisEngine
from holdfast.engines.redis.connection import connect
from holdfast.runtime.system import system_components

#: Where the server listens, for this process and those that tests start.
PORT = "HOLDFAST_TEST_REDIS"


def redis_config(name: object, **settings: Any) -> RedisConfig:
    """A database of the running server, named after whatever the test has for itself."""
    settings.setdefault("port", int(os.environ.get(PORT, "0")) or 6379)
    settings.setdefault("host", "127.0.0.1")
    return RedisConfig(prefix=str(name)[-200:], **settings)


@asynccontextmanager
async def opened(config: RedisConfig) -> AsyncIterator[RedisEngine]:
    """An engine on that database, open."""
    engine = RedisEngine(config, system_components())
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()


async def told(port: int, *words: str | int | bytes) -> Any:
    """What the server on that port answers to a command."""
    connection = await connect(RedisConfig(host="127.0.0.1"), ("127.0.0.1", port))
    try:
        return await connection.ask(*words)
    finally:
        await connection.close()


async def eventually(ask: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the answer is yes."""
    for _ in range(2_000):
        if await ask():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass within 20 s")


async def linked(replica: int, primary: int) -> None:
    """Wait until the replica on that port is told of writes; it counts as linked before that."""

    async def both() -> bool:
        there = b"master_link_status:up" in await told(replica, "INFO", "replication")
        here = await told(primary, "INFO", "replication")
        return there and re.search(rb"state=online,offset=[1-9]", here) is not None

    await eventually(both)


async def put(engine: RedisEngine, key: bytes, value: bytes = b"") -> int:
    return (await engine.commit(Batch([Put(key, value)]))).revision


async def value(engine: RedisEngine, key: bytes) -> bytes | None:
    [record] = await engine.read([key])
    return None if record is None else record.value


def run(test: Callable[[], Awaitable[None]], seconds: float = 50) -> None:
    async def main() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(main())
