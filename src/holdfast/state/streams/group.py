"""A consumer of a group: reads what nobody in the group has got, and says when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from holdfast.state.adapter import Pending
from holdfast.state.areas.area import Area, Scene
from holdfast.state.checks import (
    Duration,
    block_ms,
    duration_ms,
    loop_block_ms,
    stream_id,
    stream_ids,
    whole,
)
from holdfast.state.limits import CONCURRENCY_MAX, DELIVERIES_MAX, READ_COUNT_MAX
from holdfast.state.streams.consuming import Consumption, Settings
from holdfast.state.streams.message import StreamMessage, read
from holdfast.state.streams.releasing import RELEASE_COUNT, release_due
from holdfast.state.telemetry import operation

_COUNT = {"ctx.stream.count": int}
_GROUP = operation("stream.group", "streams")
_READ = operation("stream.read", "streams", {"ctx.stream.group": str}, _COUNT)
_ACK = operation("stream.ack", "streams", _COUNT)
_PENDING = operation("stream.pending", "streams", {}, _COUNT)
_RECLAIM = operation("stream.reclaim", "streams", {}, _COUNT)
_DEAD = operation("stream.dead", "streams")

#: What the stream of dead letters is called behind the stream's own name.
DEAD_SUFFIX = ":dead"


class StreamGroup(Area):
    """One consumer of one group, for any stream; see `Streams.group`.

    Attributes:
        name: of the group.
        consumer: of this member.
    """

    area = "streams"

    def __init__(self, scene: Scene, name: str, consumer: str) -> None:
        super().__init__(scene)
        self.name = name
        self.consumer = consumer

    async def ensure(self, stream: str, *, start: str = "0") -> bool:
        """Make the group, and the stream, unless they are there; whether it made the group.

        Args:
            stream: which.
            start: where a new group begins: "0" with all that is kept, "$" with what comes, or
                behind an id.

        Raises:
            InvalidInput: `start` is no id.
        """
        whole_key = self._key(stream)
        stream_id(start, "$")
        return await self._observer.run(
            _GROUP, stream, self._adapter.ensure_group(whole_key, self.name, start)
        )

    async def read(
        self, stream: str, *, count: int = 10, block: Duration | None = None
    ) -> list[StreamMessage]:
        """New messages for this consumer, each to one consumer of the group.

        Args:
            stream: which.
            count: how many at most.
            block: how long to wait for the first; not at all unless given.

        Raises:
            KeyNotFound: there is no such group: `ensure` makes it.
        """
        whole_key = self._key(stream)
        whole("count", count, 1, READ_COUNT_MAX)
        span = block_ms(block)
        found = await self._observer.run(
            _READ,
            stream,
            self._adapter.read_group(
                whole_key, self.name, self.consumer, count=count, block_ms=span
            ),
            {"ctx.stream.group": self.name},
            lambda found: {"ctx.stream.count": len(found)},
        )
        return [read(one, self._scene.decode) for one in found]

    async def ack(self, stream: str, ids: Sequence[str]) -> int:
        """Say that these are done; how many of them were pending."""
        whole_key = self._key(stream)
        ids = stream_ids(ids)
        if not ids:
            return 0
        return await self._observer.run(
            _ACK,
            stream,
            self._adapter.acknowledge(whole_key, self.name, ids),
            {"ctx.stream.count": len(ids)},
        )

    async def pending(self, stream: str, *, count: int = 100) -> list[Pending]:
        """What was given out and is not acknowledged, oldest first, of all consumers."""
        whole_key = self._key(stream)
        whole("count", count, 1, READ_COUNT_MAX)
        return await self._observer.run(
            _PENDING,
            stream,
            self._adapter.pending(whole_key, self.name, count=count),
            success=lambda found: {"ctx.stream.count": len(found)},
        )

    async def reclaim_idle(
        self, stream: str, idle: Duration, *, count: int = 10
    ) -> list[StreamMessage]:
        """Take over what another consumer was given and has not finished for so long."""
        whole_key = self._key(stream)
        whole("count", count, 1, READ_COUNT_MAX)
        span = duration_ms("idle", idle)
        found = await self._observer.run(
            _RECLAIM,
            stream,
            self._adapter.reclaim(whole_key, self.name, self.consumer, idle_ms=span, count=count),
            success=lambda found: {"ctx.stream.count": len(found)},
        )
        return [read(one, self._scene.decode) for one in found]

    async def release_due(self, stream: str, *, count: int = RELEASE_COUNT) -> float | None:
        """Add what is due by now; see `Streams.release_due`."""
        return await release_due(self._scene, stream, count)

    async def dead_letter(self, stream: str, message: StreamMessage, reason: str) -> str:
        """Move a message to the stream of dead letters and acknowledge it; its id there."""
        whole_key, dead = self._key(stream), self._key(stream + DEAD_SUFFIX)
        stream_id(message.id)
        letter = {
            "id": message.id,
            "group": self.name,
            "consumer": self.consumer,
            "deliveries": message.deliveries,
            "reason": reason,
            "message": message.message,
        }
        return await self._observer.run(
            _DEAD,
            stream,
            self._adapter.move(whole_key, self.name, message.id, dead, self._scene.encode(letter)),
        )

    def consume(
        self,
        stream: str,
        handler: Callable[[StreamMessage], Any],
        *,
        concurrency: int = 1,
        block: Duration = 1.0,
        reclaim_idle: Duration = 30.0,
        max_deliveries: int = 5,
        on_error: Callable[[BaseException, StreamMessage | None], Any] | None = None,
    ) -> Consumption:
        """Work on a stream until told to stop: `await group.consume(...).run()`.

        A message whose handler returns is acknowledged; one whose handler raises is given out
        again, to whichever consumer, after `reclaim_idle`, and becomes a dead letter (on the
        stream's name with `:dead` behind it) once it was given out `max_deliveries` times.

        Args:
            stream: which; group and stream are made if need be.
            handler: called with each message, plain or a coroutine function.
            concurrency: messages at work at the same time; no more are read.
            block: how long one read waits, and so how long a stop may take.
            reclaim_idle: above the longest time that one message takes.
            max_deliveries: attempts.
            on_error: told what a handler raised, and of interruptions (without a message).
        """
        self._key(stream)
        settings = Settings(
            concurrency=whole("concurrency", concurrency, 1, CONCURRENCY_MAX),
            block_s=loop_block_ms(block) / 1000,
            reclaim_s=duration_ms("reclaim_idle", reclaim_idle) / 1000,
            deliveries_max=whole("max_deliveries", max_deliveries, 1, DELIVERIES_MAX),
        )
        return Consumption(self, stream, handler, settings, on_error, self._scene.components)
