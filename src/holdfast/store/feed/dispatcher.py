"""The dispatcher: takes every change of the database to the subscribers, in commit order.

It stands at a revision up to which everything is delivered. A writer of this handle that has
committed moves it on before it returns; what other handles, threads and processes commit is noticed
by a follower, which runs only while there are subscriptions. When the commit is the very next
revision its writer has the entries at hand; otherwise the changes are read from the feed. So the
order is that of the feed, and nothing is left out or told twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import Compacted, StoreClosed, StoreError, TimedOut
from holdfast.contract.runtime import Background, Completion, Components, Runtime, Stopped
from holdfast.runtime.gate import Gate
from holdfast.store.change import Change
from holdfast.store.feed.subscribers import CLOSE_WAIT_S, RETRY_S, EventService
from holdfast.store.feed.subscription import (
    INDEX_END,
    NEVER,
    Callback,
    Place,
    Subscription,
    SubscriptionFacts,
    behind,
)
from holdfast.store.feed.tail import Waiter
from holdfast.store.feed.watch import Changes, Wanted
from holdfast.store.feed_row import FeedPosition
from holdfast.store.text_keys import shows

_log = logging.getLogger("holdfast")

#: What wakes for every key, and what shows every key, reserved ones too.
_EVERY_KEY = Pattern("#")

#: How long a writer waits, in seconds, while another one's changes are being delivered.
WRITER_WAIT_S = 0.1
#: How long the follower leaves a commit to its writer, in seconds.
PAUSE_S = 0.002


#: Where a change stands, its key, and a function that makes it for a subscriber that wants it.
Told = tuple[Place, StoreKey, Callable[[], Change]]


class ViewSource:
    """The changes of one view, for its subscribers.

    Args:
        changes: of the handle.
        view: which.
    """

    def __init__(self, changes: Changes, view: str) -> None:
        self._changes = changes
        self._view = view
        self.head = changes.head
        self.newest = changes.engine.head
        self.tell = changes.tell

    @property
    def lineage(self) -> str:
        """Of the database."""
        return self._changes.engine.lineage

    def join(self) -> Waiter:
        """A waiter for any change of the view."""
        return self._changes.join(self._view, _EVERY_KEY)

    async def after(self, since: int) -> AsyncIterator[Wanted]:
        """The changes of keys after a revision that are there now. Raises Compacted."""
        before: FeedPosition | None = None
        async for positions in self._changes.feed.after(since):
            for position in positions:
                if before is not None:
                    last = before.revision != position.revision
                    found = await self._changes.read(self._view, before, last=last)
                    if found is not None and found.key is not None:
                        yield found
                before = position
        if before is not None:
            found = await self._changes.read(self._view, before, last=True)
            if found is not None and found.key is not None:
                yield found


class Dispatcher:
    """Delivers what one handle's subscribers want to know.

    Args:
        source: the changes.
        components: the clock and the host of the database.
        runtime: of the handle.
        gate: of the handle.

    Attributes:
        active: whether there are subscribers.
    """

    def __init__(
        self, source: ViewSource, components: Components, runtime: Runtime, gate: Gate
    ) -> None:
        self._source = source
        self._host = components.host
        self._runtime = runtime
        self._gate = gate
        self._events = EventService(components, runtime, self._catch_up)
        self.active = False
        self._follower: Background | None = None
        #: Guards what follows: one caller at a time delivers, and has the turn.
        self._lock = threading.Lock()
        self._turn: int | None = None
        self._waiting: list[Completion[None]] = []
        #: Everything up to this revision is delivered; this one is to be.
        self._position = 0
        self._wanted = 0
        #: The last change delivered, so that a delivery that was broken off goes on behind it.
        self._told: Place = (0, INDEX_END)

    # --- Subscribing ------------------------------------------------------------------------

    def subscribe(self, pattern: Pattern | str, callback: Callback) -> Callable[[], None]:
        """See `KeyValueStoreInterface.subscribe`."""
        self._gate.check()
        subscription = self._events.add(pattern, callback, NEVER)
        try:
            with self._lock:
                self._gate.check()  # Another thread may have closed the handle meanwhile.
                # Asked once the subscription is in place, so that no commit falls between.
                head = self._source.head()
                if not self.active:
                    self._position = max(self._position, head)
                    self._told = max(self._told, behind(head))
                    self.active = True
                    self._follower = self._runtime.start("holdfast events", self._follow)
                subscription.taken = behind(head)
        except BaseException:
            self._unsubscribe(subscription)
            raise
        return partial(self._unsubscribe, subscription)

    @property
    def lineage(self) -> str:
        """Of the database."""
        return self._source.lineage

    def subscriptions(self) -> list[SubscriptionFacts]:
        """How each subscriber fares, in the order they came."""
        return self._events.subscriptions()

    def _unsubscribe(self, subscription: Subscription) -> None:
        self._events.remove(subscription)
        with self._lock:
            if len(self._events):
                return
            self.active = False
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    async def close(self) -> None:
        """Deliver nothing more, and leave nothing behind."""
        with self._lock:
            self.active = False
            follower, self._follower = self._follower, None
        self._events.close()
        if follower is not None:
            follower.stop()
            await follower.wait(CLOSE_WAIT_S)
        await self._events.wait_closed()

    # --- Moving on --------------------------------------------------------------------------

    async def wrote(self, revision: int, changes: Sequence[Told] | None) -> None:
        """A commit of this handle: deliver everything up to it. Never fails the writer.

        Args:
            revision: of the commit.
            changes: all it did, when that is at hand; None: the feed tells.
        """
        if changes is not None:
            self._tell_next(revision, changes)
        # It was not the very next one, or a callback has written meanwhile.
        await self.committed(max(revision, self._wanted))

    async def committed(self, revision: int) -> None:
        """The same where the outcomes are not at hand: after a transaction."""
        try:
            await self.reach(revision)
        except StoreError as error:
            # The write is done; the follower will try again.
            _log.warning("subscribers have to wait for revision %d: %s", revision, error)

    async def reach(self, revision: int) -> None:
        """Deliver everything up to a revision that is committed."""
        while self.active and self._position < revision:
            completion: Completion[None] | None = None
            with self._lock:
                self._wanted = max(self._wanted, revision)
                if self._turn is None:
                    self._turn = threading.get_ident()
                elif self._runtime.blocking and self._turn == threading.get_ident():
                    return  # Written inside a callback: told when the callback has returned.
                else:
                    completion = self._runtime.completion()
                    self._waiting.append(completion)
            if completion is None:
                try:
                    await self._advance()
                finally:
                    self._end_turn()
            else:
                try:
                    await completion.wait(WRITER_WAIT_S)
                except TimedOut:
                    return  # The call that has the turn delivers it.

    # --- Inside -----------------------------------------------------------------------------

    def _tell_next(self, revision: int, changes: Sequence[Told]) -> None:
        """Deliver a commit from what its writer knows, if it is the very next."""
        if revision != self._position + 1:
            return
        with self._lock:
            if self._turn is not None or revision != self._position + 1:
                return
            self._turn = threading.get_ident()
        try:
            for place, key, change in changes:
                if place > self._told:
                    matching = self._events.matching(key)
                    self._told = place
                    if matching:
                        self._events.deliver(matching, change())
            self._position = revision
        finally:
            self._end_turn()

    async def _advance(self) -> None:
        """Deliver from the feed, up to what is wanted. The caller has the turn."""
        while self.active and self._position < self._wanted:
            until = self._wanted
            try:
                async for wanted in self._source.after(self._position):
                    position, key = wanted.position, wanted.key
                    place = position.revision, position.index
                    if place <= self._told:
                        continue
                    change = None
                    if self._events.matching(key):
                        change = await self._source.tell(wanted)
                    self._told = place
                    if change is not None:
                        self._events.emit(key, change)
                    until = max(until, position.revision)
            except Compacted as gone:
                # This process slept for longer than the feed is kept.
                until = int(gone.details["oldest"]) - 1
                _log.error("subscribers missed the changes up to revision %d: %s", until, gone)
            with self._lock:
                self._position = max(self._position, until)

    def _end_turn(self) -> None:
        with self._lock:
            self._turn = None
            waiting, self._waiting = self._waiting, []
        if waiting:
            self._host.settle((completion, None, None) for completion in waiting)

    async def _follow(self) -> None:
        """Notice what others commit."""
        waiter = self._source.join()
        try:
            while self.active:
                try:
                    await waiter.wait(self._position)
                    # A writer of this handle has the entries at hand, so it goes first.
                    await self._runtime.sleep(PAUSE_S)
                    await self.reach(await self._source.newest())
                except StoreClosed:
                    return
                except Stopped:
                    raise
                except StoreError as error:
                    _log.warning("changes for subscribers are waited for again: %s", error)
                    await self._runtime.sleep(RETRY_S)
                except Exception as error:  # noqa: BLE001 - one failure is not to end the rest
                    _log.error("changes for subscribers: %s", type(error).__name__)
                    await self._runtime.sleep(RETRY_S)
                except BaseException as error:
                    # A loop ends its program with an interrupt, and cancels this task at close.
                    if not self._runtime.blocking and (
                        not self.active or isinstance(error, SystemExit | KeyboardInterrupt)
                    ):
                        raise
                    _log.error("a subscriber raised %s in the background", type(error).__name__)
        finally:
            waiter.leave()

    async def _catch_up(self, subscription: Subscription) -> None:
        """Queue what a subscription has not got yet, as far as there is room."""
        revision, index = subscription.taken
        since = revision if index == INDEX_END else revision - 1
        try:
            async for wanted in self._source.after(since):
                place = wanted.position.revision, wanted.position.index
                if place > subscription.taken and shows(subscription.pattern, wanted.key):
                    change = await self._source.tell(wanted)
                    if not self._events.refill(subscription, place, change):
                        return
        except Compacted as gone:
            self._events.missed(subscription, behind(int(gone.details["oldest"]) - 1))
            _log.error("the subscriber %s missed changes: %s", subscription.name, gone)
            return
        self._events.caught_up(subscription)
