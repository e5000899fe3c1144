"""PostgreSQL beside ours: bare statements, and the same rows by hand in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from benchmarks.data import Value
from benchmarks.stores.by_hand import Planned, Row, value_of
from benchmarks.stores.on_servers import CONNECTIONS, ServerStore, decode, encode
from tests.servers.processes import LOOPBACK


class RawPostgres(ServerStore):
    """`SELECT` and `INSERT ... ON CONFLICT`, prepared, each a transaction.

    Args:
        port: of the server.
    """

    table = "raw_rows"

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()
        self._get: Any = f"SELECT value FROM {self.table} WHERE key = %b::bytea"
        self._put: Any = (
            f"INSERT INTO {self.table} VALUES (%b::bytea, %b::bytea) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )

    async def open(self) -> None:
        for _ in range(CONNECTIONS):
            self._free.put_nowait(
                await psycopg.AsyncConnection.connect(
                    host=LOOPBACK, port=self._port, user="postgres", dbname="postgres",
                    autocommit=True, prepare_threshold=0,
                )
            )  # fmt: skip
        make: Any = f"CREATE TABLE {self.table} (key bytea PRIMARY KEY, value bytea NOT NULL)"
        async with self.connection() as connection:
            await connection.execute(make)

    async def close(self) -> None:
        while not self._free.empty():
            await self._free.get_nowait().close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """One that nobody else uses."""
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)

    async def read(self, key: bytes) -> bytes | None:
        """What stands there."""
        async with self.connection() as connection:
            cursor = await connection.execute(self._get, [key], binary=True)
            row = await cursor.fetchone()
        return None if row is None else row[0]

    async def get(self, key: str) -> Value | None:
        stored = await self.read(key.encode())
        return None if stored is None else decode(stored)

    async def set(self, key: str, value: Value) -> None:
        async with self.connection() as connection:
            await connection.execute(self._put, [key.encode(), encode(value)], binary=True)


class HandPostgres(Planned, RawPostgres):
    """The rows of ours in one transaction of two round trips: head and record, then all rows.

    The row of the head is locked from the first to the commit, so that revisions are in the order
    of commits.

    Args:
        port: of the server.
        head: the revision before the first one.
    """

    table = "hand_rows"
    _ADVANCE: Any = "UPDATE hand_head SET revision = revision + 1 RETURNING revision"

    def __init__(self, port: int, head: int = 0) -> None:
        RawPostgres.__init__(self, port)
        Planned.__init__(self)
        self._first = head

    async def open(self) -> None:
        await super().open()
        async with self.connection() as connection:
            await connection.execute(
                "CREATE TABLE hand_head (revision bigint NOT NULL) WITH (fillfactor = 10)"
            )
            await connection.execute("INSERT INTO hand_head VALUES (%s)", [self._first])

    async def get(self, key: str) -> Value | None:
        return value_of(await self.read(self.data_key(key)))

    async def set(self, key: str, value: Value) -> None:
        data_key = self.data_key(key)
        async with (
            self.connection() as connection,
            connection.pipeline(),
            connection.transaction(),
        ):
            advanced = await connection.execute(self._ADVANCE, binary=True)
            # Its own view, taken once the head is locked: what others committed is in it.
            found = await connection.execute(self._get, [data_key], binary=True)
            head, row = await advanced.fetchone(), await found.fetchone()
            assert head is not None
            old = None if row is None else row[0]
            for planned in self.plan({data_key: old}.get, key, value, head[0], 0):
                await connection.execute(self._put, planned, binary=True)

    async def rows(self) -> list[Row]:
        """Every row."""
        everything: Any = f"SELECT key, value FROM {self.table}"
        async with self.connection() as connection:
            cursor = await connection.execute(everything, binary=True)
            return await cursor.fetchall()
