"""What tests of the engine on PostgreSQL do often."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from holdfast.contract.batch import Batch, Put
from holdfast.engines.postgres import PostgresConfig, PostgresEngine
from holdfast.runtime.system import system_components

#: Where the server listens, for this process and those that tests start.
PORT = "HOLDFAST_TEST_POSTGRES"


def postgres_config(name: object, **settings: Any) -> PostgresConfig:
    """A database of the running server, named after whatever the test has for itself."""
    settings.setdefault("port", int(os.environ.get(PORT, "0")) or 5432)
    digest = hashlib.sha256(str(name).encode()).hexdigest()[:24]
    usual: dict[str, Any] = {
        "host": "127.0.0.1", "user": "postgres", "database": "postgres", "schema": f"test_{digest}",
    }  # fmt: skip
    return PostgresConfig(**(usual | settings))


@asynccontextmanager
async def opened(config: PostgresConfig) -> AsyncIterator[PostgresEngine]:
    """An engine on that database, open."""
    engine = PostgresEngine(config, system_components())
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()


async def told(port: int, statement: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
    """What the server on that port answers to a statement of its superuser."""
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True
    )
    async with connection:
        cursor = await connection.execute(statement, arguments or None)
        return await cursor.fetchall() if cursor.description else []


async def put(engine: PostgresEngine, key: bytes, value: bytes = b"") -> int:
    return (await engine.commit(Batch([Put(key, value)]))).revision


async def value(engine: PostgresEngine, key: bytes) -> bytes | None:
    [record] = await engine.read([key])
    return None if record is None else record.value


def run(test: Callable[[], Awaitable[None]], seconds: float = 50) -> None:
    async def main() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(main())
