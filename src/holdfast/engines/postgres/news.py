"""Hearing of commits: each group notifies a channel, and one connection listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from psycopg import sql

from holdfast.contract.errors import ConnectionLost
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.connections import Connection, connect
from holdfast.engines.remote import news


class News(news.News):
    """What one transport hears.

    The server keeps what a listener does not take, so no listener is left alone.

    Args:
        config: of the database.
        channel: that commits notify.
        head: asks the server for the newest revision.
    """

    def __init__(
        self, config: PostgresConfig, channel: str, head: Callable[[], Awaitable[int]]
    ) -> None:
        super().__init__("PostgreSQL", head)
        self._config = config
        self._channel = channel
        self._listening: asyncio.Task[None] | None = None

    async def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    # --- Inside -----------------------------------------------------------------------------

    @property
    def _listens(self) -> bool:
        return self._listening is not None

    async def _listen(self) -> None:
        if self._listens:
            return
        connection = await connect(self._config)
        try:
            await connection.execute(
                sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)), prepare=False
            )
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.Error):
                raise self._broken() from error
            raise
        self._listening = asyncio.get_running_loop().create_task(
            self._hear(connection), name="holdfast hears of commits"
        )

    async def _hear(self, connection: Connection) -> None:
        failure: ConnectionLost | None = None
        try:
            async with connection:
                while not self._idle:
                    async for notice in connection.notifies(timeout=news.LINGER_S, stop_after=1):
                        self._told(int(notice.payload))
        except psycopg.Error as error:
            failure = self._broken()
            failure.__cause__ = error
        finally:
            if self._listening is asyncio.current_task():
                self._listening = None
            if failure is not None:
                self._lost(failure)
