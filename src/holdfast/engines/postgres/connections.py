"""Connections to the server: some that read, handed out in turn, and one that writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from holdfast.contract.errors import ConnectionLost
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.failures import not_connected, refusal

Connection = AsyncConnection[TupleRow]

#: What a session is set to, whatever the server's defaults: the engine counts on it.
_SETTINGS = {
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "jit": "off",
    # Rows are found and walked by the index of keys, whatever the statistics of a table say that
    # was just made: any other way reads and sorts a whole range for its first page.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",  # There is one good plan for each statement.
    "client_min_messages": "error",
}
_COMMITS = {"full": "on", "relaxed": "off"}


async def connect(config: PostgresConfig) -> Connection:
    """A connection whose session is set up; who calls bounds the time.

    Raises:
        ConnectionFailed, ConnectionLost: there is no way to the server now.
        Unauthenticated, StoreNotFound, Overloaded: it does not let us in.
    """
    settings = dict(_SETTINGS)
    if config.durability in _COMMITS:
        settings["synchronous_commit"] = _COMMITS[config.durability]
    calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
    connection: Connection | None = None
    try:
        # Every statement is prepared at its first use: one round trip from then on.
        connection = await AsyncConnection.connect(
            **config.login(), autocommit=True, prepare_threshold=0
        )
        values = [part for pair in settings.items() for part in pair]
        await connection.execute(f"SELECT {calls}", values, prepare=False)
    except psycopg.Error as error:
        if connection is not None:
            await connection.close()
            raise refusal(error, writing=False) from error
        raise not_connected(error, f"{config.host}:{config.port}") from error
    except BaseException:
        if connection is not None:
            await connection.close()
        raise
    return connection


class Connections:
    """The connections of one transport.

    Args:
        config: of the database.
    """

    def __init__(self, config: PostgresConfig) -> None:
        self._config = config
        #: Whoever came first is served first, also when many ask for few.
        self._places = asyncio.Semaphore(config.connections_max)
        self._turn = asyncio.Lock()
        self._free: list[Connection] = []
        self._writer: Connection | None = None
        self._closed = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection for statements that only read; errors of the driver become ours."""
        async with self._places:
            connection = self._free.pop() if self._free else await self._connect()
            try:
                yield connection
            except psycopg.Error as error:
                raise refusal(error, writing=False) from error
            finally:
                if self._usable(connection):
                    self._free.append(connection)
                else:
                    await connection.close()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """The connection for statements that write."""
        async with self._turn:
            connection = self._writer or await self._connect()
            self._writer = None
            try:
                yield connection
            except psycopg.Error as error:
                raise refusal(error, writing=True) from error
            finally:
                if self._usable(connection):
                    self._writer = connection
                else:
                    await connection.close()

    async def close(self) -> None:
        """Let go of those that nobody uses; the others follow when they are given back."""
        self._closed = True
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
        while self._free:
            await self._free.pop().close()

    async def _connect(self) -> Connection:
        if self._closed:
            raise ConnectionLost("the connection to PostgreSQL is closed")
        return await connect(self._config)

    def _usable(self, connection: Connection) -> bool:
        # Given back in the middle of something it would drag that into what comes next.
        return (
            not self._closed
            and not connection.closed
            and connection.info.transaction_status == TransactionStatus.IDLE
        )
