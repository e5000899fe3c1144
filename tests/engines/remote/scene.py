"""What tests of the remote base do often: a database of the server, and what it saw of us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from holdfast.contract.batch import Batch, Put
from holdfast.runtime.system import system_components
from tests.engines.remote.loopback_engine import (
    LoopbackConfig,
    LoopbackEngine,
    LoopbackTransport,
    loopback_config,
)


def engine_of(database: object, **settings: Any) -> LoopbackEngine:
    """A closed engine on the database of that name."""
    return LoopbackEngine(loopback_config(str(database), **settings), system_components())


@asynccontextmanager
async def opened(database: object, **settings: Any) -> AsyncIterator[LoopbackEngine]:
    """An open engine on the database of that name."""
    engine = engine_of(database, **settings)
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()


async def told(config: LoopbackConfig, verb: str, *arguments: object) -> Any:
    """What the server answers to a verb for tests, over a connection of its own."""
    transport = LoopbackTransport(config)
    await transport.connect()
    try:
        return await transport._ask(verb, *arguments)
    finally:
        await transport.close()


async def plan(engine: LoopbackEngine, verb: str, *faults: str) -> None:
    """What will happen to the next messages of the verb."""
    assert isinstance(engine.config, LoopbackConfig)
    await told(engine.config, "plan", verb, list(faults))


async def round_trips(
    engine: LoopbackEngine, work: Callable[[], Awaitable[object]]
) -> dict[str, int]:
    """How many messages of each verb the server got while the work was done."""
    assert isinstance(engine.config, LoopbackConfig)
    before = await told(engine.config, "counted")
    await work()
    after = await told(engine.config, "counted")
    ours = {verb: after[verb] - before.get(verb, 0) for verb in after}
    return {
        verb: count for verb, count in ours.items() if count and verb not in ("open", "counted")
    }


async def put(engine: LoopbackEngine, key: bytes, value: bytes = b"") -> int:
    return (await engine.commit(Batch([Put(key, value)]))).revision


async def value(engine: LoopbackEngine, key: bytes) -> bytes | None:
    [record] = await engine.read([key])
    return None if record is None else record.value


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(main())
