"""The transport of one event loop, kept connected, with requests tried again where that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
)
from holdfast.engines.remote.config import RemoteConfig
from holdfast.engines.remote.transport import Transport, Welcome

T = TypeVar("T")

#: After a broken connection the second try comes at once, later ones after a pause that doubles.
PAUSE_FIRST_S = 0.01
PAUSE_LAST_S = 1.0


class Line:
    """Connects when it has to, bounds what is on its way, gives up what does not answer.

    Args:
        config: the bounds.
        make: a new transport.
        welcomed: told what the server said each time a connection was made.
    """

    def __init__(
        self,
        config: RemoteConfig,
        make: Callable[[], Transport],
        welcomed: Callable[[Welcome], None],
    ) -> None:
        self._config = config
        self._make = make
        self._welcomed = welcomed
        self._places = asyncio.Semaphore(config.requests_max)
        self._transport: Transport | None = None
        self._connecting: asyncio.Task[Transport] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._parted: StoreError | None = None
        #: In a forked child: what would tell the selector, which it shares with its parent, that
        #: the socket is closed, if it were collected.
        self._inherited: Transport | None = None
        #: How many requests were sent; each is one round trip.
        self.requests = 0

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let work go on, whatever becomes of who asked for it; it ends before the line closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def request(self, ask: Callable[[Transport], Awaitable[T]]) -> T:
        """What `ask` answers, which only reads; cancelling the caller does not cancel it."""
        return await asyncio.shield(self.start(self.repeated(ask, writes=False)))

    async def repeated(
        self, ask: Callable[[Transport], Awaitable[T]], *, writes: bool, longest: bool = False
    ) -> T:
        """What `ask` answers, tried again while connections break and the time allows.

        Args:
            ask: safe to be sent again: it reads, or writes batches that have ids.
            writes: what was sent and not answered may have happened.
            longest: it may take as long as it likes, such as waiting for a commit.

        Raises:
            ConnectionFailed, ConnectionLost: nothing was done.
            OutcomeUnknown: it may have been done.
        """
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + self._config.reconnect_timeout, 0.0
        unknown: OutcomeUnknown | None = None
        lost: ConnectionLost | None = None
        while True:
            failure: StoreError
            try:
                return await self._once(ask, longest=longest)
            except OutcomeUnknown as error:
                if writes:
                    failure = unknown = error
                else:
                    failure = lost = ConnectionLost(str(error))
                    lost.__cause__ = error
            except ConnectionLost as error:
                failure = lost = error
            except ConnectionFailed as error:
                # Nobody there any more: what broke before says what it meant for the request.
                failure = lost or error
            failure = unknown or failure
            if self._closed or clock() + pause > deadline:
                raise failure
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, PAUSE_FIRST_S), PAUSE_LAST_S)

    async def once(self, ask: Callable[[Transport], Awaitable[T]]) -> T:
        """What `ask` answers, sent once, however long that takes."""
        return await asyncio.shield(self.start(self._once(ask, longest=True)))

    async def connected(self) -> Transport:
        """The transport, once it is connected. Raises what connecting met."""
        self.require_process()
        if self._transport is not None:
            return self._transport
        if self._closed:
            raise _closed()
        if self._connecting is None or self._connecting.done():  # Cancelled with its loop.
            self._connecting = self.start(self._connect())
        return await asyncio.shield(self._connecting)

    def part(self, refusal: StoreError) -> None:
        """In a forked child: the transport is the parent's, and every request is refused."""
        self._parted = refusal
        self._inherited, self._transport = self._transport, None

    def require_process(self) -> None:
        """Raise WrongContext in a forked child: what ran before may have forked."""
        if self._parted is not None:
            raise self._parted

    async def close(self) -> None:
        """Wait for what is on its way, and let go."""
        self._closed = True
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            transport, self._transport = self._transport, None
            if transport is not None:
                await transport.close()

    # --- Inside -----------------------------------------------------------------------------

    async def _once(self, ask: Callable[[Transport], Awaitable[T]], *, longest: bool) -> T:
        if longest:
            return await self._asked(ask, None)
        async with self._places:
            return await self._asked(ask, self._config.answer_timeout)

    async def _asked(self, ask: Callable[[Transport], Awaitable[T]], seconds: float | None) -> T:
        transport = self._transport or await self.connected()
        self.requests += 1
        try:
            async with asyncio.timeout(seconds):
                return await ask(transport)
        except TimeoutError as error:
            self._lose(transport)
            raise OutcomeUnknown(
                f"the server of {self._config.url} did not answer within {seconds} s "
                "(answer_timeout); the connection was given up"
            ) from error
        except (ConnectionLost, OutcomeUnknown):
            self._lose(transport)
            raise

    async def _connect(self) -> Transport:
        transport = self._make()
        seconds = self._config.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                welcome = await transport.connect()
        except TimeoutError as error:
            await transport.close()
            raise ConnectionLost(
                f"the server of {self._config.url} did not take the connection within {seconds} s "
                "(connect_timeout)"
            ) from error
        except BaseException:
            await transport.close()
            raise
        finally:
            self._connecting = None
        self._welcomed(welcome)
        self._transport = transport
        return transport

    def _lose(self, transport: Transport) -> None:
        """Connect anew for the next request; whatever else is on the old way fails there."""
        if self._transport is transport:
            self._transport = None
            self.start(transport.close())

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Seen: whoever was cancelled meanwhile will not look.


def _closed() -> StoreClosed:
    return StoreClosed("the database is closed; open it again")
