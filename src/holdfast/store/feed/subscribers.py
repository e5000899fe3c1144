"""`EventService`: brings a change to the subscribers whose pattern matches, and to no others.

A plain callback is called there and then. One that was slow too long is called by a thread from
then on, and a coroutine function by a task; both have a bounded queue. What does not fit into it is
read from the feed later, so that a slow subscriber costs neither memory nor changes.
"""

from __future__ import annotations

import inspect
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.codecs.trie import PatternTrie
from holdfast.contract.errors import InvalidInput, StoreClosed, StoreError
from holdfast.contract.runtime import Background, Components, Runtime
from holdfast.runtime.drive import drive
from holdfast.store.change import Change, Held
from holdfast.store.feed.slow_callbacks import SlowLane
from holdfast.store.feed.subscription import (
    BUDGET_S,
    CALL_S,
    START,
    Callback,
    Place,
    Subscription,
    SubscriptionFacts,
)
from holdfast.store.text_keys import RESERVED, shows

_log = logging.getLogger("holdfast")

#: How long a close waits, in seconds, for calls of subscribers that are under way.
CLOSE_WAIT_S = 1.0
#: The pause after the feed could not be read for a subscriber, in seconds.
RETRY_S = 0.5

#: Queues what a subscription missed while its queue was full, as far as there is room.
CatchUp = Callable[[Subscription], Awaitable[None]]


class EventService:
    """Subscribers by pattern.

    Args:
        components: the clock that times callbacks, and the host that runs slow ones.
        runtime: where coroutine functions run.
        catch_up: reads from the feed what did not fit into a queue. Without one, such a change is
            counted as missed.
    """

    def __init__(
        self, components: Components, runtime: Runtime, catch_up: CatchUp | None = None
    ) -> None:
        self._now = components.clock.monotonic
        self._runtime = runtime
        self._catch_up = catch_up
        self._trie: PatternTrie[Subscription] = PatternTrie()
        self._subscriptions: dict[int, Subscription] = {}
        self._lane = SlowLane(components.host, self._serve)
        self._tasks: set[Background] = set()
        self._closed = False
        #: Guards the trie, the queues, and what of a subscription belongs to its queue.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._subscriptions)

    # --- Subscribing ------------------------------------------------------------------------

    def subscribe(self, pattern: Pattern | str, callback: Callback) -> Callable[[], None]:
        """Call `callback` with each change that matches; ends when what is returned is called."""
        return partial(self.remove, self.add(pattern, callback, START))

    def add(self, pattern: Pattern | str, callback: Callback, taken: Place) -> Subscription:
        """Subscribe to the changes behind a place.

        Raises:
            InvalidInput: the callback cannot be called, or not here.
            PatternInvalid: there is no such pattern.
            StoreClosed: the service is closed.
        """
        subscription = Subscription(Pattern.of(pattern), callback, taken)
        if subscription.mode == "task" and self._runtime.blocking:
            raise InvalidInput(
                "a synchronous handle has no event loop for a coroutine function; subscribe a "
                "plain function, or subscribe on the asynchronous handle"
            )
        with self._lock:
            if self._closed:
                raise StoreClosed("the handle is closed, so nothing is delivered; open another one")
            subscription.token = self._trie.add(subscription.pattern, subscription)
            self._subscriptions[subscription.token] = subscription
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """End it: it is not called again. Ending twice does nothing."""
        with self._lock:
            subscription.end()
            self._trie.remove(subscription.token)
            self._subscriptions.pop(subscription.token, None)

    def subscriptions(self) -> list[SubscriptionFacts]:
        """How each subscriber fares, in the order they came."""
        with self._lock:
            return [one.facts() for one in self._subscriptions.values()]

    # --- Emitting ---------------------------------------------------------------------------

    def matching(self, key: StoreKey) -> list[Subscription]:
        """The subscriptions that a change of this key concerns."""
        with self._lock:
            found = self._trie.matches(key.segments)
        if found and key.segments[0].startswith(RESERVED):
            found = [one for one in found if shows(one.pattern, key)]
        return found

    def emit(self, event: StoreKey | str, change: Change) -> None:
        """Bring a change to the subscribers of the event: the key, or its canonical text."""
        self.deliver(self.matching(StoreKey.of(event)), change)

    def deliver(self, subscriptions: list[Subscription], change: Change) -> None:
        """Bring a change to these, each its own copy.

        What a subscriber raises is logged and counted. An interrupt (Ctrl-C) goes on to the
        caller, once everybody has got the change.
        """
        interrupt: BaseException | None = None
        place = change.revision, change.index
        own: Change | None = change
        started = self._now()
        for subscription in subscriptions:
            if subscription.ended or place <= subscription.taken:
                continue
            if own is None:
                own = _copy(change)
            if subscription.mode == "inline":
                subscription.taken = place
                try:
                    self._call(subscription, own)
                except BaseException as error:  # noqa: BLE001 - raised below
                    interrupt = error
                ended = self._now()
                if ended - started > CALL_S:
                    self._charge(subscription, ended, ended - started)
                started = ended
            else:
                self._enqueue(subscription, place, own)
            own = None
        if interrupt is not None:
            raise interrupt

    def refill(self, subscription: Subscription, place: Place, change: Change) -> bool:
        """Queue a change read from the feed; False when there is no room, or no need."""
        with self._lock:
            return not subscription.ended and subscription.queue(place, change)

    def missed(self, subscription: Subscription, place: Place) -> None:
        """What comes up to this place is gone, and cannot be delivered any more."""
        with self._lock:
            subscription.missed += 1
            subscription.taken = max(subscription.taken, place)

    def caught_up(self, subscription: Subscription) -> None:
        """The feed was read to its end: from here on changes are queued as they come."""
        with self._lock:
            if subscription.skipped <= subscription.taken:
                subscription.behind = False

    # --- Closing ----------------------------------------------------------------------------

    def close(self) -> None:
        """End every subscription. A call that is under way is not interrupted."""
        with self._lock:
            self._closed = True
            for subscription in self._subscriptions.values():
                subscription.end()
                self._trie.remove(subscription.token)
            self._subscriptions.clear()
        self._lane.close()

    async def wait_closed(self) -> None:
        """Cancel coroutine functions under way, and give slow callbacks a moment to return."""
        deadline = self._now() + CLOSE_WAIT_S
        tasks = list(self._tasks)
        for task in tasks:
            task.stop()
        for task in tasks:
            await task.wait(max(0.0, deadline - self._now()))
        for worker in self._lane.workers():
            left = max(0.0, deadline - self._now())
            await self._runtime.offload(partial(worker.join, left))

    # --- Inside: calling --------------------------------------------------------------------

    def _call(self, subscription: Subscription, change: Change) -> None:
        try:
            result = subscription.callback(change)
            if result is not None and inspect.iscoroutine(result):
                result.close()
                raise _CoroutineFunctionWanted
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the subscriber's own
            # Also a CancelledError: nothing in a plain function can be cancelled.
            self._failed(subscription, change, error)
        else:
            subscription.delivered += 1

    def _failed(self, subscription: Subscription, change: Change, error: BaseException) -> None:
        subscription.failed += 1
        # Neither the change nor the error's own text: both may hold the value.
        _log.error(
            "the subscriber %s to %s raised %s at the change of %s in revision %d%s",
            subscription.name,
            subscription.pattern.text,
            type(error).__name__,
            change.key,
            change.revision,
            "".join(["\n", *traceback.format_tb(error.__traceback__)]).rstrip(),
        )

    def _charge(self, subscription: Subscription, now: float, seconds: float) -> None:
        if not subscription.charge(now, seconds):
            return
        with self._lock:
            subscription.mode = "thread"
        _log.warning(
            "the subscriber %s to %s has kept writers waiting for more than %s s; it is called in "
            "a thread from now on. Make it quicker, or a coroutine function",
            subscription.name,
            subscription.pattern.text,
            BUDGET_S,
        )

    # --- Inside: queues ---------------------------------------------------------------------

    def _enqueue(self, subscription: Subscription, place: Place, change: Change) -> None:
        with self._lock:
            if subscription.ended or place <= subscription.taken:
                return
            if subscription.behind or not subscription.queue(place, change):
                if self._catch_up is None:
                    subscription.missed += 1
                    return
                subscription.behind = True
                subscription.skipped = place
            if subscription.draining:
                return
            subscription.draining = True
        self._drain(subscription)

    def _drain(self, subscription: Subscription) -> None:
        """Start work on what waits for the subscription."""
        if subscription.mode == "thread":
            self._lane.put(subscription)
            return
        task: Background | None = None
        over = False

        async def work() -> None:
            nonlocal over
            try:
                await self._work(subscription)
            finally:
                over = True
                if task is not None:
                    self._tasks.discard(task)

        task = self._runtime.start("holdfast subscriber", work)
        if not over:  # On a loop with eager tasks it may be.
            self._tasks.add(task)

    def _next(self, subscription: Subscription) -> tuple[Change | None, bool]:
        """What to deliver, and whether to go on after that."""
        with self._lock:
            change = subscription.next()
            if change is None and not subscription.behind:
                subscription.draining = False
                return None, False
            if subscription.ended:
                subscription.draining = False
                return None, False
            return change, True

    async def _work(self, subscription: Subscription) -> None:
        """Call a coroutine function with what waits for it, one change after the other."""
        goes_on = True
        try:
            while goes_on:
                change, goes_on = self._next(subscription)
                if change is not None:
                    await self._call_async(subscription, change)
                elif goes_on:
                    goes_on = await self._read_on(subscription)
        except BaseException:
            # Cancelled from outside, but for a close it goes on with the next change.
            with self._lock:
                subscription.draining = False
            raise

    async def _call_async(self, subscription: Subscription, change: Change) -> None:
        try:
            await cast("Awaitable[object]", subscription.callback(change))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the subscriber's own
            self._failed(subscription, change, error)
        except BaseException as error:
            if not subscription.ended:
                self._failed(subscription, change, error)
            raise
        else:
            subscription.delivered += 1

    def _serve(self, subscription: Subscription) -> bool:
        """Call a slow plain callback once, in a thread; whether there is more for it."""
        change, goes_on = self._next(subscription)
        if change is not None:
            try:
                self._call(subscription, change)
            except BaseException as error:  # noqa: BLE001 - no caller is there to be interrupted
                self._failed(subscription, change, error)
            return True
        return goes_on and drive(self._read_on(subscription))

    async def _read_on(self, subscription: Subscription) -> bool:
        """Fill the queue from the feed; False when the database is closed."""
        assert self._catch_up is not None
        try:
            await self._catch_up(subscription)
        except StoreClosed:
            return False
        except StoreError as error:
            _log.warning(
                "the feed cannot be read for the subscriber %s, which is tried again: %s",
                subscription.name,
                error,
            )
            await self._runtime.sleep(RETRY_S)
        return True


def _copy(change: Change) -> Change:
    """The same change with values of its own, so that subscribers cannot disturb each other."""
    return msgspec.structs.replace(change, before=_fresh(change.before), after=_fresh(change.after))


def _fresh(value: Any) -> Any:
    return value.fresh() if isinstance(value, Held) else value


class _CoroutineFunctionWanted(Exception):
    """A plain function returned a coroutine, which will never be awaited."""
