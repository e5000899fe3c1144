"""`Evented`: tells subscribers what changed, before the writer goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.codecs.pattern import Pattern
from holdfast.records.decorators.base import Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.outcome_changes import changes_of
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Write
from holdfast.store.change import Change
from holdfast.store.feed.dispatcher import Dispatcher
from holdfast.store.feed.subscription import SubscriptionFacts


class Evented(Decorator):
    """Adds `subscribe`. It emits nothing of its own: what subscribers see are the commits.

    Args:
        inner: whose writes are told as soon as they are committed.
        dispatcher: takes the changes of the database to the subscribers.
        commits: whether the inner store's writes are commits; those of a transaction are not,
            and are told when it commits.
    """

    def __init__(
        self, inner: KeyValueStoreInterface, dispatcher: Dispatcher, *, commits: bool = True
    ) -> None:
        super().__init__(inner)
        self.dispatcher = dispatcher
        self._write = inner.write
        self._write_now = inner.write_now
        if not commits:
            self.write = inner.write  # type: ignore[method-assign]
            self.write_now = inner.write_now  # type: ignore[method-assign]

    def around(self, inner: KeyValueStoreInterface) -> Evented:
        return Evented(inner, self.dispatcher, commits=False)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = await self._write(writes)
        dispatcher = self.dispatcher
        if dispatcher.active:
            revision = max((one.revision for one in outcomes if one.written), default=0)
            if revision:
                changes = changes_of(revision, writes, outcomes, dispatcher.lineage)
                await dispatcher.wrote(revision, changes)
        return outcomes

    def write_now(self, write: Write) -> Outcome | None:
        return None if self.dispatcher.active else self._write_now(write)

    def subscribe(
        self, pattern: Pattern | str, callback: Callable[[Change], object]
    ) -> Callable[[], None]:
        return self.dispatcher.subscribe(pattern, callback)

    def subscriptions(self) -> list[SubscriptionFacts]:
        """How each subscriber fares, in the order they came."""
        return self.dispatcher.subscriptions()
