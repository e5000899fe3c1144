"""Hearing of commits: reads that block, and channels, across tasks, threads and processes.

One background loop for each adapter waits for the engine's next commit while somebody wants to
know; it looks at the rows that are waited for, and at what was published, and wakes those whom it
concerns. Idle it costs what the engine's own wait costs.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreClosed, StoreError, TimedOut, Unsupported
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Background, Completion
from holdfast.state.adapter import Deliver, Delivered, Gap, Unsubscribe
from holdfast.state.embedded.base import EmbeddedPart
from holdfast.state.embedded.site import Ground, closed
from holdfast.state.embedded.trimming import Notes, give_up_old, note_key
from holdfast.state.globs import compiled
from holdfast.store.plain.rows import pack_plain
from holdfast.store.plan import Plan

_log = logging.getLogger("holdfast")

#: How long the loop rests after it has looked, so that commits that follow each other closely are
#: looked at together.
REST_S: Final = 0.002
#: The pause after the rows could not be read, in seconds.
RETRY_S: Final = 0.5

_encode = msgspec.msgpack.Encoder().encode
_published = msgspec.msgpack.Decoder(tuple[int, str, bytes]).decode


class Waiter:
    """Somebody who waits until a row is another one than it was."""

    __slots__ = ("completion", "data_key", "revision")

    def __init__(self, data_key: bytes, revision: int, completion: Completion[None]) -> None:
        self.data_key = data_key
        self.revision = revision
        self.completion = completion


class Listener:
    """Somebody who hears a channel, from a revision on."""

    __slots__ = ("deliver", "gap", "since", "wanted")

    def __init__(
        self, wanted: str | re.Pattern[str], since: int, deliver: Deliver, gap: Gap
    ) -> None:
        self.wanted = wanted
        self.since = since
        self.deliver = deliver
        self.gap = gap

    def hears(self, channel: str) -> bool:
        """Whether the channel is one of its own."""
        wanted = self.wanted
        return wanted == channel if isinstance(wanted, str) else bool(wanted.fullmatch(channel))


class Ear:
    """The background loop of one adapter, and who wants to be told.

    Args:
        engine: of the database.
        rows: finds the rows.
    """

    def __init__(self, engine: Engine, rows: Callable[[], Awaitable[Ground]]) -> None:
        self._engine = engine
        self._rows = rows
        self._host = self._engine.components.host
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self._listeners: dict[object, Listener] = {}
        self._loop: Background | None = None
        #: How often the loop was started: one that ends knows whether another one has begun.
        self._starts = 0
        #: What was published up to this revision was told.
        self._told = 0
        self._closed = False

    async def changed(self, data_key: bytes, revision: int, timeout_s: float) -> bool:
        """Wait until a row has another revision than this; False when the time is over."""
        waiter = Waiter(data_key, revision, self._host.runtime().completion())
        try:
            with self._lock:
                self._require_open()
                self._waiters.add(waiter)
            self._start()
            # Asked after joining the waiting, so that a commit in between is not missed.
            [record] = await self._engine.read((data_key,))
            if _revision(record) == revision:
                await waiter.completion.wait(timeout_s)
        except TimedOut:
            return False
        finally:
            with self._lock:
                self._waiters.discard(waiter)
            self._rest()
        if self._closed:
            raise closed()
        return True

    async def listen(
        self, wanted: str | re.Pattern[str], deliver: Deliver, gap: Gap
    ) -> Unsubscribe:
        """Hear of what is published from now on."""
        since = await self._engine.head()
        token = object()
        with self._lock:
            self._require_open()
            if not self._listeners:
                self._told = since
            self._listeners[token] = Listener(wanted, since, deliver, gap)
        self._start()

        async def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(token, None)
            self._rest()

        return unsubscribe

    def count(self, channel: str) -> int:
        """How many listeners of this adapter hear a channel."""
        with self._lock:
            return sum(one.hears(channel) for one in self._listeners.values())

    def close(self) -> None:
        """Wake everybody, and end."""
        with self._lock:
            self._closed = True
            self._listeners.clear()
            self._wake(list(self._waiters))
        self._rest()

    # --- Inside -----------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._closed:
            raise closed()

    def _start(self) -> None:
        with self._lock:
            if self._loop is None and (self._waiters or self._listeners):
                self._starts += 1
                self._loop = self._host.runtime().start("holdfast state", self._run)

    def _rest(self) -> None:
        """End the loop if nobody wants to know any more."""
        loop: Background | None = None
        with self._lock:
            if not self._waiters and not self._listeners:
                loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    async def _run(self) -> None:
        turn = self._starts
        try:
            await self._listen()
        finally:
            # However it ended: who waits looks for itself, and starts another one if need be.
            with self._lock:
                if self._starts == turn:
                    self._loop = None
                self._wake(list(self._waiters))

    async def _listen(self) -> None:
        position = -1
        runtime = self._host.runtime()
        while self._waiters or self._listeners:
            try:
                head = await self._engine.wait(position)
                await self._look()
                if self._listeners:
                    await self._tell()
                position, pause = max(position, head), REST_S
            except StoreClosed:
                return
            except Exception as error:  # noqa: BLE001 - whoever waits is told, and it goes on
                # Not a foreign error's own text: it may hold a value.
                said = str(error) if isinstance(error, StoreError) else type(error).__name__
                _log.warning("commits are waited for again: %s", said)
                self._missed()
                pause = RETRY_S
            await runtime.sleep(pause)

    async def _look(self) -> None:
        """Wake those whose rows changed."""
        with self._lock:
            waiters = list(self._waiters)
        if not waiters:
            return
        keys = list({one.data_key for one in waiters})
        records = await self._engine.read(keys)
        revisions = dict(zip(keys, map(_revision, records), strict=True))
        with self._lock:
            self._wake([one for one in waiters if revisions[one.data_key] != one.revision])

    async def _tell(self) -> None:
        """Deliver what was published since."""
        news = (await self._rows()).places.news
        rest: Range | None = Range(note_key(news, self._told + 1), Range.prefix(news).end)
        [marker] = await self._engine.read((news,))
        if marker is not None and Notes.of(marker.value).given_up > self._told:
            self._missed()
        while rest is not None:
            page = await self._engine.scan(rest)
            for key, record in page.rows:
                self._told = int.from_bytes(key[len(news) : len(news) + 8], "big")
                _, channel, data = _published(Notes.body(record.value))
                with self._lock:
                    hearing = [
                        one
                        for one in self._listeners.values()
                        if one.since < self._told and one.hears(channel)
                    ]
                for one in hearing:
                    one.deliver(channel, data)
            rest = page.resume

    def _missed(self) -> None:
        """Something may have been missed: everybody is told."""
        with self._lock:
            listeners = list(self._listeners.values())
            self._wake(list(self._waiters))
        for one in listeners:
            one.gap()

    def _wake(self, waiters: list[Waiter]) -> None:
        """Wake these. The caller holds the lock."""
        if waiters:
            self._host.settle((one.completion, None, None) for one in waiters)


class EmbeddedListening(EmbeddedPart):
    """The verbs of channels, and reads that block."""

    _ear: Ear | None = None

    async def publish(self, channel: str, data: bytes) -> int:
        ground = self._ground or await self._open()
        news = ground.places.news
        overdue = False

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal overdue
            overdue = Notes.plan(plan, news, records[0])
            plan.append(news, pack_plain(_encode((plan.now_ms, channel, data))))
            return None

        await ground.commit((news,), write)
        if overdue:
            # Nobody keeps house here, or it comes late.
            await give_up_old(ground.space, news)
        return 0 if self._ear is None else self._ear.count(channel)

    async def subscribe(
        self, channel: str, deliver: Deliver, gap: Gap, *, wildcard: bool = False
    ) -> Unsubscribe:
        ear = await self._listening()
        return await ear.listen(compiled(channel) if wildcard else channel, deliver, gap)

    async def _blocking(
        self,
        ground: Ground,
        key: str,
        block_ms: int,
        take: Callable[[], Awaitable[list[Delivered]]],
    ) -> list[Delivered]:
        """What `take` finds, waiting for a change of the key's row up to `block_ms`."""
        clock = ground.space.engine.components.clock
        until = clock.monotonic() + block_ms / 1000
        while True:
            ground = await self._rows()
            data_key = ground.awaited(key)
            # Read before it is looked, so that a change in between is noticed.
            seen = _revision(await ground.record(data_key)) if block_ms else 0
            found = await take()
            left = until - clock.monotonic()
            if found or not block_ms or left <= 0:
                return found
            ear = await self._listening()
            if not await ear.changed(data_key, seen, left):
                return await take()

    async def _listening(self) -> Ear:
        ground = self._ground or await self._open()
        if self._ear is None:
            if not ground.space.engine.capabilities.waits:
                raise Unsupported(
                    "a transaction, a snapshot and an engine without waiting tell of nothing that "
                    "comes; wait and listen on the store itself"
                )
            self._ear = Ear(ground.space.engine, self._rows)
        return self._ear


def _revision(record: Record | tuple[bytes, int] | None) -> int:
    return 0 if record is None else record[1]
