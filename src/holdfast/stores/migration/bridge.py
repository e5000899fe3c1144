"""`TopicBridge`: topics of an older bus and those of stores, translated without loops."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from holdfast.contract.errors import InvalidInput
from holdfast.stores.lifecycle import TOPICS, StoreEvent

_log = logging.getLogger("holdfast")

#: How many events that were not passed on are kept in memory; all are counted.
KEPT_MAX: Final = 1_000


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


class NotPassed(Struct, frozen=True):
    """An event that could not be told on the other bus.

    Attributes:
        topic: on the bus where it was published.
        reason: what it lacks; never what is in it.
    """

    topic: str
    reason: str


class TopicBridge:
    """Tells on each bus what was published on the other, once.

    An event that cannot be told on the other bus, because its payload lacks facts or that bus
    raises, is counted, kept and logged. Whoever published it notices nothing.

    Args:
        old, new: the buses.
        topics: the topic of stores for each older topic.
        lacking: what the older payloads do not have of a topic's facts.
        told: called with each event that is not passed on.

    Attributes:
        passed: how many events were told on the other bus.
        failed: how many could not be.
        failures: the last of these.

    Raises:
        InvalidInput: a topic of stores does not exist, or stands for two older ones.
    """

    def __init__(
        self,
        old: OldBus,
        new: NewBus,
        topics: Mapping[str, str],
        lacking: Mapping[str, Any] | None = None,
        *,
        told: Callable[[NotPassed], object] | None = None,
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
        self._told = told
        self.passed = 0
        self.failed = 0
        self.failures: deque[NotPassed] = deque(maxlen=KEPT_MAX)
        self._counting = threading.Lock()
        # What this thread is passing on is not passed back.
        self._passing = threading.local()
        for older, topic in topics.items():
            self._join(older, topic)

    def _join(self, older: str, topic: str) -> None:
        def from_old(payload: Mapping[str, Any]) -> None:
            def publish() -> None:
                facts = _facts(topic, self._lacking, payload)
                self._new.publish(topic, facts.pop("name"), **facts)

            self._once(older, publish)

        def from_new(event: StoreEvent) -> None:
            self._once(topic, lambda: self._old.publish(older, event.payload))

        self._old.subscribe(older, from_old)
        self._new.subscribe(topic, from_new)

    def _once(self, topic: str, publish: Callable[[], object]) -> None:
        """Pass an event of a topic on, unless it was passed on to here."""
        if getattr(self._passing, "now", False):
            return
        self._passing.now = True
        failure: NotPassed | None = None
        try:
            publish()
        except _Malformed as error:
            failure = NotPassed(topic, str(error))
        except Exception as error:  # noqa: BLE001 - whatever is on the other bus, this one goes on
            # Not its text: it may hold what was in the payload.
            failure = NotPassed(topic, f"the other bus raised {type(error).__name__}")
        finally:
            self._passing.now = False
        with self._counting:
            if failure is None:
                self.passed += 1
                return
            self.failed += 1
        self._tell(failure)

    def _tell(self, failure: NotPassed) -> None:
        self.failures.append(failure)
        _log.warning(
            "an event of %s was not passed on (%d so far): %s",
            failure.topic, self.failed, failure.reason,
        )  # fmt: skip
        if self._told is None:
            return
        try:
            self._told(failure)
        except Exception as error:  # noqa: BLE001 - the bridge goes on
            _log.error("whoever is told of lost events failed with a %s", type(error).__name__)


class _Malformed(ValueError):
    """A payload lacks what the topic has."""


def _facts(topic: str, lacking: Mapping[str, Any], payload: object) -> dict[str, Any]:
    """Name and facts of an event, of an older payload. Raises _Malformed."""
    if not isinstance(payload, Mapping):
        raise _Malformed(f"a payload is a mapping; found a {type(payload).__name__}")
    facts = {**lacking, **payload}
    missing = [name for name in ("name", *TOPICS[topic]) if name not in facts]
    if missing:
        raise _Malformed(
            f"{topic} has the facts {', '.join(missing)} too; name them in `lacking`, or publish "
            "them"
        )
    if not isinstance(facts["name"], str):
        raise _Malformed(f"name is a text; found a {type(facts['name']).__name__}")
    return {name: facts[name] for name in ("name", *TOPICS[topic])}
