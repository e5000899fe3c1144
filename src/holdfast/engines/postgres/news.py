"""Hearing of commits: each group notifies a channel, and one connection listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from psycopg import sql

from holdfast.contract.errors import ConnectionLost, StoreError
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.connections import Connection, connect

#: How often somebody who waits asks for the head all the same: a connection that died without a
#: word would never tell.
LOOK_INTERVAL_S = 5.0
#: Once nobody has waited for so long, listening ends. The server keeps what a listener does not
#: take, so one is never left alone.
LINGER_S = 10.0


class News:
    """What one transport hears; it listens from when somebody first waits.

    Args:
        config: of the database.
        channel: that commits notify.
        head: asks the server for the newest revision.
    """

    def __init__(
        self, config: PostgresConfig, channel: str, head: Callable[[], Awaitable[int]]
    ) -> None:
        self._config = config
        self._channel = channel
        self._ask_head = head
        self._listening: asyncio.Task[None] | None = None
        self._heard = 0
        self._waiter: asyncio.Future[None] | None = None
        self._idle_since = 0.0

    async def wait_above(self, revision: int) -> int:
        """The head once it is above `revision`; one caller at a time.

        Raises:
            ConnectionLost: the connection that listens broke.
        """
        loop = asyncio.get_running_loop()
        self._idle_since = loop.time()  # Somebody waits from now on.
        await self._listen()
        # What was told before it listened was heard by nobody.
        self._heard = max(self._heard, await self._ask_head())
        try:
            while self._heard <= revision:
                self._waiter = loop.create_future()
                if self._listening is None:
                    raise _broken()  # It ended between two waits.
                try:
                    async with asyncio.timeout(LOOK_INTERVAL_S):
                        await self._waiter
                except TimeoutError:
                    head = await self._ask_head()
                    if head > self._heard:
                        self._heard = head
                        await self.close()  # It may be deaf: make another one.
                        await self._listen()
            return self._heard
        finally:
            self._waiter = None
            self._idle_since = loop.time()

    async def close(self) -> None:
        """Stop listening."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    # --- Inside -----------------------------------------------------------------------------

    async def _listen(self) -> None:
        if self._listening is not None:
            return
        connection = await connect(self._config)
        try:
            await connection.execute(
                sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)), prepare=False
            )
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.Error):
                raise _broken() from error
            raise
        self._listening = asyncio.get_running_loop().create_task(
            self._hear(connection), name="holdfast hears of commits"
        )

    async def _hear(self, connection: Connection) -> None:
        failure: StoreError | None = None
        try:
            async with connection:
                while not self._idle():
                    async for notice in connection.notifies(timeout=LINGER_S, stop_after=1):
                        self._heard = max(self._heard, int(notice.payload))
                        if self._waiter is not None and not self._waiter.done():
                            self._waiter.set_result(None)
        except psycopg.Error as error:
            failure = _broken()
            failure.__cause__ = error
        finally:
            if self._listening is asyncio.current_task():
                self._listening = None
            if failure is not None and self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(failure)

    def _idle(self) -> bool:
        since = asyncio.get_running_loop().time() - self._idle_since
        return self._waiter is None and self._idle_since > 0 and since > LINGER_S


def _broken() -> ConnectionLost:
    return ConnectionLost("the connection that hears of commits on PostgreSQL broke")
