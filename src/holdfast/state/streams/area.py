"""`streams`: append, look back, follow; groups share the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.state.areas.area import Area, Scene
from holdfast.state.checks import Duration, duration_ms, loop_block_ms, name, stream_id, whole
from holdfast.state.limits import IDENTIFIER_CHARACTERS_MAX, READ_COUNT_MAX, TTL_MAX_S
from holdfast.state.observing import fail
from holdfast.state.streams.group import StreamGroup
from holdfast.state.streams.message import StreamMessage, read
from holdfast.state.streams.recurring import REMEMBER_S as RECURRING_REMEMBER_S
from holdfast.state.streams.recurring import Recurrence
from holdfast.state.streams.releasing import RELEASE_COUNT, release_due
from holdfast.state.telemetry import operation

_NAME = {"ctx.stream.name": str}
_APPEND = operation("stream.append", "streams", _NAME)
_ONCE = operation("stream.once", "streams", _NAME, {"ctx.stream.appended": bool})
_LATER = operation("stream.later", "streams", _NAME)
_TAIL = operation("stream.tail", "streams", success={"ctx.stream.count": int})
_LENGTH = operation("stream.length", "streams", success={"ctx.stream.count": int})

LENGTH_MAX = 10**9
#: How long it is remembered that a message was appended once, unless told, in seconds.
REMEMBER_S = 86_400.0
#: How long one step of `follow` blocks, in seconds.
FOLLOW_S = 5.0


class Appended(NamedTuple):
    """What became of a message that is appended once: its id, and whether this call added it."""

    id: str
    appended: bool


class Streams(Area):
    """Streams. A message stays until the stream is trimmed, whoever has read it."""

    area = "streams"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._once = scene.keys.area("once")
        self._later = scene.keys.area("later")

    async def append(
        self, stream: str, message: Any, *, max_len: int | None = None, approximate: bool = False
    ) -> str:
        """Add a message; its id.

        Args:
            stream: which.
            message: what the serializer takes.
            max_len: how many messages stay; older ones go.
            approximate: let the keeper trim when it is cheap: up to about a hundred more stay.

        Raises:
            SerializationFailed: the message cannot be stored; nothing was sent.
        """
        whole_key = self._key(stream)
        length = 0 if max_len is None else whole("max_len", max_len, 1, LENGTH_MAX)
        seen = (
            self._observer.started(_APPEND, whole_key, {"ctx.stream.name": shown(stream)})
            if self._observer.on
            else None
        )
        try:
            data = self._scene.encode(message)
            id = await self._adapter.append(
                whole_key, data, length_max=length, approximate=approximate
            )
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _APPEND, stream, seen)
        if seen is not None:
            seen.success()
        return id

    async def append_once(
        self,
        stream: str,
        message: Any,
        key: str,
        *,
        remember: Duration = REMEMBER_S,
        max_len: int | None = None,
        approximate: bool = False,
    ) -> Appended:
        """Add a message unless one with this key was added already.

        So whoever does not know whether an attempt succeeded tries again; and a message for each
        minute has the minute as its key, however many processes add it.

        Args:
            stream: which.
            message: what the serializer takes.
            key: what makes two attempts the same, within the stream.
            remember: for how long.
            max_len, approximate: see `append`.
        """
        whole_key, once_key = self._key(stream), self._once(f"{len(stream)}/{stream}/{key}")
        name("key", key, IDENTIFIER_CHARACTERS_MAX)
        length = 0 if max_len is None else whole("max_len", max_len, 1, LENGTH_MAX)
        span = duration_ms("remember", remember)
        data = self._scene.encode(message)
        id, appended = await self._observer.run(
            _ONCE,
            stream,
            self._adapter.append_once(
                whole_key, once_key, data, ttl_ms=span, length_max=length, approximate=approximate
            ),
            {"ctx.stream.name": shown(stream)},
            lambda found: {"ctx.stream.appended": found[1]},
        )
        return Appended(id, appended)

    async def append_later(self, stream: str, message: Any, delay: Duration) -> None:
        """Add a message when `delay` is over, to the second or so.

        Whoever consumes the stream adds what is due: `StreamGroup.consume` by itself, others with
        `release_due`.
        """
        self._key(stream)
        later_key, span = self._later(stream), duration_ms("delay", delay)
        data, id = self._scene.encode(message), self._scene.components.ids.new()
        await self._observer.run(
            _LATER,
            stream,
            self._adapter.postpone(later_key, id, data, span),
            {"ctx.stream.name": shown(stream)},
        )

    def recur(
        self,
        stream: str,
        message: Any,
        every: Duration,
        *,
        max_len: int | None = None,
        on_error: Callable[[BaseException], Any] | None = None,
    ) -> Recurrence:
        """Add a message in each part of time that comes: `streams.recur("ticks", {}, 60).run()`.

        Run it in every process that may have to: together they add one message for each part. The
        parts are counted from 1970, so that with 60 one begins with each minute of UTC. A part that
        passes while nobody runs has no message.

        Args:
            stream: which.
            message: what the serializer takes; `append_once` is called with it each time.
            every: how long a part is.
            max_len: see `append`.
            on_error: told when the keeper could not be asked; it is tried again in the same part.

        Raises:
            InvalidInput, InvalidValue: an argument cannot be.
            SerializationFailed: the message cannot be stored.
        """
        self._key(stream)
        self._scene.encode(message)
        if max_len is not None:
            whole("max_len", max_len, 1, LENGTH_MAX)
        if on_error is not None and not callable(on_error):
            raise InvalidInput(f"on_error is a function; found a {type(on_error).__name__}")

        async def once(key: str, remember: float) -> bool:
            return (
                await self.append_once(stream, message, key, remember=remember, max_len=max_len)
            ).appended

        every_ms = duration_ms("every", every)
        if 2 * every_ms / 1000 + RECURRING_REMEMBER_S > TTL_MAX_S:
            raise InvalidValue(
                f"every is shorter than half of {TTL_MAX_S:.0f} s less {RECURRING_REMEMBER_S:.0f} s"
            )
        return Recurrence(once, every_ms, on_error, self._scene.components)

    async def release_due(self, stream: str, *, count: int = RELEASE_COUNT) -> float | None:
        """Add what is due by now, up to so many; seconds until the next one is, or None."""
        return await release_due(self._scene, stream, count)

    def group(self, group: str, consumer: str) -> StreamGroup:
        """A member of a group: each message goes to one of its consumers."""
        return StreamGroup(self._scene, name("group", group), name("consumer", consumer))

    async def tail(self, stream: str, count: int = 10) -> list[StreamMessage]:
        """The newest messages, oldest first, outside any group: for looking on."""
        whole_key = self._key(stream)
        whole("count", count, 1, READ_COUNT_MAX)
        found = await self._observer.run(
            _TAIL,
            stream,
            self._adapter.read_last(whole_key, count),
            success=lambda found: {"ctx.stream.count": len(found)},
        )
        return [read(one, self._scene.decode) for one in found]

    async def follow(
        self, stream: str, *, after: str = "$", count: int = 100, block: Duration = FOLLOW_S
    ) -> AsyncIterator[StreamMessage]:
        """Messages as they come, outside any group; each that looks on gets all of them.

        Args:
            stream: which.
            after: the last id that is known; "0" for all that are kept, "$" for those to come.
            count: how many one step reads at most.
            block: how long one step waits.

        Raises:
            InvalidInput: `after` is no id.
        """
        whole_key = self._key(stream)
        whole("count", count, 1, READ_COUNT_MAX)
        span = loop_block_ms(block)
        stream_id(after, "$")
        if after == "$":
            # Fixed once, or what comes between two steps would be missed.
            newest = await self._adapter.read_last(whole_key, 1)
            after = newest[-1].id if newest else "0-0"
        while True:
            found = await self._adapter.read_after(whole_key, after, count=count, block_ms=span)
            for one in found:
                after = one.id
                yield read(one, self._scene.decode)

    async def length(self, stream: str) -> int:
        """How many messages are kept."""
        whole_key = self._key(stream)
        return await self._observer.run(
            _LENGTH,
            stream,
            self._adapter.length(whole_key),
            success=lambda length: {"ctx.stream.count": length},
        )


def shown(stream: str) -> str:
    """What telemetry calls a stream: its first segment; the rest may be somebody's identity."""
    first, colon, _ = stream.partition(":")
    return first + ":…" if colon else first
