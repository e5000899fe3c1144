"""One socket to a server: requests go out as they come, replies come in their order.

Replies are matched to requests by their order alone, so a cancelled request leaves its place
behind, and its reply is thrown away when it comes. A connection that is lost is never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis

from holdfast.contract.errors import ConnectionFailed, ConnectionLost, OutcomeUnknown, StoreError
from holdfast.engines.redis.config import Address, RedisConfig
from holdfast.engines.redis.failures import refusal

Word = str | bytes | int | float
_NOTHING: Final = object()
# The driver's own types know tuples of one word only.
_pack: Callable[[tuple[Word, ...]], bytes] = cast("Any", hiredis.pack_command)


class Connection(asyncio.Protocol):
    """A connection that was made; see `connect`.

    Attributes:
        address: of the server.
        lost: whether it can no longer be used.
        hear: called with each message that nobody asked for, and with an empty one at the end.
    """

    def __init__(self, address: Address, hear: Callable[[list[Any]], None] | None = None) -> None:
        self.address = address
        self.lost = False
        self.hear = hear
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        #: Who waits for which reply, and whether the request may write.
        self._expected: deque[tuple[asyncio.Future[Any], bool]] = deque()
        self._ended = self._loop.create_future()
        self._cause: StoreError | None = None

    async def ask(self, *words: Word) -> Any:
        """The reply to a command that only reads. Raises what the server refuses it with."""
        [reply] = await self.replies([words], writes=False)
        if isinstance(reply, hiredis.ReplyError):
            raise refusal(reply)
        return reply

    async def replies(self, commands: Sequence[tuple[Word, ...]], *, writes: bool) -> list[Any]:
        """The replies to commands that travel together; a refusal is a `hiredis.ReplyError`.

        Raises:
            ConnectionLost: the connection broke, and the server did nothing.
            OutcomeUnknown: it broke after commands that write were sent.
        """
        if self.lost or self._transport is None:
            raise self._loss(writes=False)
        futures = [self._loop.create_future() for _ in commands]
        self._expected.extend((future, writes) for future in futures)
        self._transport.write(b"".join(map(_pack, commands)))
        return [await future for future in futures]

    def send(self, *words: Word) -> None:
        """Send a command whose replies are heard as messages."""
        if self.lost or self._transport is None:
            raise self._loss(writes=False)
        self._transport.write(_pack(words))

    async def close(self) -> None:
        """Give the connection up, and wait until its socket is closed."""
        self.abort()
        await asyncio.wait([self._ended])  # Cancelling who waits does not cancel the end.

    def abort(self) -> None:
        """Give the connection up at once."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        elif not self._ended.done():
            self._ended.set_result(None)

    # --- What the loop calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        expected = self._expected
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                if self.hear is not None and type(reply) is list:
                    self.hear(reply)
                    continue
                if not expected:
                    raise hiredis.ProtocolError("a reply that nobody waits for")
                future, _ = expected.popleft()
                if not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self._cause = ConnectionFailed(
                f"a Redis server was wanted at {where(self.address)}; found something that speaks "
                "another protocol. Check the port, and tls"
            )
            self._cause.__cause__ = error
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        expected, self._expected = self._expected, deque()
        for future, writes in expected:
            if not future.done():
                future.set_exception(self._loss(writes=writes, cause=exc))
                future.exception()  # Seen: of those that travel together one is awaited.
        if self.hear is not None:
            self.hear([])  # Nothing will be heard any more.
        if not self._ended.done():
            self._ended.set_result(None)

    def _loss(self, *, writes: bool, cause: BaseException | None = None) -> StoreError:
        error: StoreError
        if writes:
            error = OutcomeUnknown(
                f"the connection to Redis at {where(self.address)} broke before it told what "
                "became of a write; repeat the batch with the same id"
            )
        elif self._cause is not None:
            return self._cause
        else:
            error = ConnectionLost(
                f"the connection to Redis at {where(self.address)} is broken; check that the "
                "server runs"
            )
        error.__cause__ = self._cause or cause
        return error


async def connect(
    config: RedisConfig,
    address: Address,
    *,
    hear: Callable[[list[Any]], None] | None = None,
    sentinel: bool = False,
) -> Connection:
    """A connection that has signed in and chosen its database; who calls bounds the time.

    Raises:
        ConnectionFailed: no Redis server answers there.
        Unauthenticated: it does not take the user or the password.
    """
    loop, (host, port) = asyncio.get_running_loop(), address
    connection: Connection | None = None
    try:
        _, connection = await loop.create_connection(
            lambda: Connection(address), host, port, ssl=config.tls_context()
        )
        await _sign_in(connection, config, sentinel=sentinel)
    except OSError as error:
        _abort(connection)
        raise ConnectionFailed(
            f"a Redis server was wanted at {where(address)}; none took the connection "
            f"({type(error).__name__}). Check the address and that it runs",
            address=where(address),
        ) from error
    except BaseException:
        _abort(connection)
        raise
    connection.hear = hear
    return connection


def where(address: Address) -> str:
    """`host:port` of an address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _sign_in(connection: Connection, config: RedisConfig, *, sentinel: bool) -> None:
    password = config.sentinel_password if sentinel else config.password
    user = () if config.user is None or sentinel else (config.user,)
    if password is not None:
        await connection.ask("AUTH", *user, password)
    if config.database and int(config.database) and not sentinel:
        await connection.ask("SELECT", config.database)
    # A user may be refused this one; it only says in the server's lists who connects.
    with contextlib.suppress(StoreError):
        await connection.ask("CLIENT", "SETNAME", "holdfast")


def _abort(connection: Connection | None) -> None:
    if connection is not None:
        connection.abort()
