"""One socket to the server: commands go out once a turn of the loop, replies come in order.

Replies are matched to callers by their order alone. So a caller that is cancelled leaves its place
behind, and its reply is thrown away when it comes; nothing that arrives late, out of order or in
pieces can reach the wrong caller. A link that is lost is never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    DriverMissing,
    OutcomeUnknown,
    StoreError,
    TimedOut,
)
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.errors import translate

try:
    import hiredis
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise DriverMissing(
        "state on Redis wanted the package hiredis; found none; install it with: "
        "pip install 'holdfast-db[redis]'",
        extra="redis",
    ) from error

Word = str | bytes | int | float
_NOTHING: Final = object()
# The driver's own types know tuples of one word only.
_pack: Callable[[tuple[Word, ...]], bytes] = cast("Any", hiredis.pack_command)
_ReplyError = hiredis.ReplyError


class Link(asyncio.Protocol):
    """A connection that was made; see `connect`.

    Attributes:
        lost: whether it can no longer be used.
    """

    #: Whether messages that nobody asked for come in between; `pushed` takes them.
    pushes = False

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: RedisConfig, ended: Callable[[Link], None]
    ) -> None:
        self.lost = False
        self._loop = loop
        self._timeout_s = config.timeout_s
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        #: Who waits for which reply, and whether the command only reads.
        self._expected: deque[tuple[asyncio.Future[Any] | None, bool]] = deque()
        self._packed: list[bytes] = []
        self._unsent = 0
        self._scheduled = False
        self._paused = False
        self._sent = 0
        self._answered = 0
        #: When commands were sent: (number of the last one, time).
        self._marks: deque[tuple[int, float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._cause: StoreError | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._commands_max = config.commands_max
        self._part_refused: Exception | None = None

    # --- Commands ---------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Replies that are still to come."""
        return len(self._expected)

    def send(self, words: tuple[Word, ...], *, reads: bool = False) -> asyncio.Future[Any]:
        """The reply to one command. It is on its way at the end of this turn of the loop."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            return self._too_late(future)
        self._packed.append(_pack(words))
        self._expected.append((future, reads))
        self._unsent += 1
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return future

    def transaction(self, commands: Sequence[tuple[Word, ...]]) -> asyncio.Future[Any]:
        """The list of replies to commands that happen together or not at all."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            return self._too_late(future)
        self._packed.append(b"".join([_pack(("MULTI",)), *map(_pack, commands), _pack(("EXEC",))]))
        self._expected.extend([(None, False)] * (len(commands) + 1))
        self._expected.append((future, False))
        self._unsent += len(commands) + 2
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return future

    def _too_late(self, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
        future.set_exception(self._loss(None, unknown=False))
        return future

    async def room(self) -> None:
        """Wait, first come first served, until a command fits or the connection is lost."""
        if self.lost or not self._expected:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._wake()  # Its place goes to the next in line.
            raise

    def _wake(self) -> None:
        """Let as many go on as fit; all of them when there is nothing to wait for."""
        room = len(self._waiters) if self.lost else self._commands_max - len(self._expected)
        while room > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def abort(self, cause: StoreError | None = None) -> None:
        """Give the connection up at once."""
        if self._cause is None:
            self._cause = cause
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    # --- Sending ----------------------------------------------------------------------------

    def _flush(self) -> None:
        self._scheduled = False
        if self._paused or self._transport is None or self.lost:
            return
        packed, self._packed = self._packed, []
        self._sent += self._unsent
        self._unsent = 0
        self._marks.append((self._sent, self._loop.time()))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._look)
        self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._packed and not self._scheduled:
            self._flush()

    def _look(self) -> None:
        """Whether the oldest command has waited for too long."""
        self._watch = None
        marks = self._marks
        while marks and marks[0][0] <= self._answered:
            marks.popleft()
        if not marks:
            return
        left = marks[0][1] + self._timeout_s - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
            return
        self.abort(TimedOut(f"the server did not answer within {self._timeout_s} s"))

    # --- Receiving --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family != getattr(socket, "AF_UNIX", None):
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        gets = self._reader.gets
        expected = self._expected
        pushes = self.pushes
        try:
            self._reader.feed(data)
            answered = 0
            while (reply := gets()) is not _NOTHING:
                if pushes and self.pushed(reply):
                    continue
                if not expected:
                    raise hiredis.ProtocolError("a reply that nobody waits for")
                future, _ = expected.popleft()
                answered += 1
                if type(reply) is _ReplyError:
                    self.refused(future, reply)
                elif future is not None and not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self._malformed(error)
        else:
            self._answered += answered
            if self._waiters:
                self._wake()

    def pushed(self, reply: Any) -> bool:
        """Whether this is no reply but a message that nobody asked for."""
        return False

    def refused(self, future: asyncio.Future[Any] | None, reply: Exception) -> None:
        """The server said no to one command."""
        if future is None:
            # A part of a transaction: its end will say no, and this is why.
            self._part_refused = reply
            return
        if self._part_refused is not None and str(reply).startswith("EXECABORT"):
            reply, self._part_refused = self._part_refused, None
        if future.done():
            return
        translated = translate(reply)
        future.set_exception(translated)
        future.exception()  # Seen: whoever was cancelled meanwhile will not look.
        if translated.details.get("reply") == "READONLY":
            # Demoted without closing its sockets: the primary has to be asked for anew. What is
            # sent from now on goes another way; the replies behind this one are still given out.
            self.lost = True
            self._loop.call_soon(self.abort)

    def _malformed(self, error: Exception) -> None:
        found = ConnectionFailed("the server wanted to speak RESP; found something else")
        found.__cause__ = error
        self.abort(found)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        expected, self._expected = self._expected, deque()
        sent = len(expected) - self._unsent
        for place, (future, reads) in enumerate(expected):
            if future is None or future.done():
                continue
            future.set_exception(self._loss(exc, unknown=place < sent and not reads))
            future.exception()
        self._packed.clear()
        self._wake()
        self._ended(self)

    def _loss(self, exc: Exception | None, *, unknown: bool) -> StoreError:
        why = self._cause
        error: StoreError
        if unknown:
            error = OutcomeUnknown(
                "the connection was lost before the reply came, so the write may have happened or "
                "not. Read what stands there before repeating it"
            )
        elif isinstance(why, TimedOut):
            error = TimedOut(why.message)
        else:
            error = ConnectionLost(
                "the connection was lost before the command had an effect; try again"
            )
        error.__cause__ = why or exc or ConnectionResetError("the server closed the connection")
        return error


class ListeningLink(Link):
    """A connection that also hears messages nobody asked for, in between replies.

    Args:
        hear: called with each message, as the server spells it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: RedisConfig,
        ended: Callable[[Link], None],
        hear: Callable[[list[Any]], None],
    ) -> None:
        super().__init__(loop, config, ended)
        self._hear = hear

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                if type(reply) is list and reply and reply[0] in (b"message", b"pmessage"):
                    self._hear(reply)
                    continue
                if not self._expected:
                    # The server takes the subscriptions away itself when a user is changed.
                    continue
                future, _ = self._expected.popleft()
                self._answered += 1
                if future is None or future.done():
                    continue
                if isinstance(reply, _ReplyError):
                    self.refused(future, reply)
                else:
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self._malformed(error)


async def connect(config: RedisConfig, make: Callable[[], Link]) -> Link:
    """A link that has signed in and chosen its database.

    Raises:
        ConnectionFailed: there is no such server, or it took too long.
        Unauthenticated: it does not take the password.
    """
    loop = asyncio.get_running_loop()
    tls = config.tls_context()
    link: Link | None = None
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            if config.path is not None:
                _, link = await loop.create_unix_connection(make, config.path, ssl=tls)
            else:
                _, link = await loop.create_connection(make, config.host, config.port, ssl=tls)
            await _sign_in(link, config)
    except BaseException as error:
        if link is not None:
            link.abort()
        if isinstance(error, OSError | StoreError):
            raise _not_connected(config, error) from error
        raise
    return link


async def _sign_in(link: Link, config: RedisConfig) -> None:
    replies: list[asyncio.Future[Any]] = []
    if config.password is not None:
        user = () if config.username is None else (config.username,)
        replies.append(link.send(("AUTH", *user, config.password), reads=True))
    if config.database:
        replies.append(link.send(("SELECT", config.database), reads=True))
    # A user may be refused this one; it says who listens, nothing depends on it.
    named = link.send(("CLIENT", "SETNAME", config.client_name), reads=True)
    replies.append(link.send(("PING",), reads=True))
    for reply in replies:
        await reply
    with contextlib.suppress(StoreError):
        await named


def _not_connected(config: RedisConfig, error: Exception) -> StoreError:
    if isinstance(error, StoreError) and not isinstance(error, ConnectionLost | TimedOut):
        return error.within(url=config.url)
    return ConnectionFailed(
        f"a Redis server was wanted at {config.url}; found none that answers "
        f"({type(error).__name__}). Check the address and that it runs"
    )
