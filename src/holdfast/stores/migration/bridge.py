"""`TopicBridge`: topics of an older bus and those of stores, translated without loops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from holdfast.contract.errors import InvalidInput
from holdfast.stores.lifecycle import TOPICS, StoreEvent


class OldBus(Protocol):
    """An event bus as older programs have it."""

    def subscribe(self, topic: str, callback: Callable[[Mapping[str, Any]], object]) -> object:
        """Call `callback` with the payload of each event of the topic."""
        ...

    def publish(self, topic: str, payload: Mapping[str, Any]) -> object:
        """Tell it to the subscribers of the topic."""
        ...


class NewBus(Protocol):
    """What stores tell: `db.stores`, or a `Lifecycle`."""

    def subscribe(self, topic: str, callback: Callable[[StoreEvent], object]) -> Callable[[], None]:
        """Call `callback` with each event whose topic matches."""
        ...

    def publish(self, topic: str, name: str, **facts: Any) -> None:
        """Tell it to the subscribers."""
        ...


class TopicBridge:
    """Tells on each bus what was published on the other, once.

    Args:
        old, new: the buses.
        topics: the topic of stores for each older topic.
        lacking: what the older payloads do not have of a topic's facts.

    Raises:
        InvalidInput: a topic of stores does not exist, or stands for two older ones.
    """

    def __init__(
        self,
        old: OldBus,
        new: NewBus,
        topics: Mapping[str, str],
        lacking: Mapping[str, Any] | None = None,
    ) -> None:
        unknown = sorted(set(topics.values()) - TOPICS.keys())
        if unknown or len(set(topics.values())) < len(topics):
            raise InvalidInput(
                f"each older topic has a topic of stores of its own, of {', '.join(TOPICS)}; found "
                f"{dict(topics)}"
            )
        self._old = old
        self._new = new
        self._lacking = dict(lacking or {})
        # What this thread is passing on is not passed back.
        self._passing = threading.local()
        for older, topic in topics.items():
            self._join(older, topic)

    def _join(self, older: str, topic: str) -> None:
        def from_old(payload: Mapping[str, Any]) -> None:
            facts = {**self._lacking, **payload}
            wanted = {name: facts[name] for name in TOPICS[topic]}
            self._once(lambda: self._new.publish(topic, str(facts["name"]), **wanted))

        def from_new(event: StoreEvent) -> None:
            self._once(lambda: self._old.publish(older, event.payload))

        self._old.subscribe(older, from_old)
        self._new.subscribe(topic, from_new)

    def _once(self, publish: Callable[[], object]) -> None:
        if getattr(self._passing, "now", False):
            return
        self._passing.now = True
        try:
            publish()
        finally:
            self._passing.now = False
