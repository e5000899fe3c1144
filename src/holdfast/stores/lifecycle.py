"""What happens to stores, told by topic: made, deleted, closed, versions, transactions.

Changes of keys are in the feed (`db.watch`); these are the topics of the handle itself, brought by
the same service that brings changes to subscribers.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, cast

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import PatternInvalid
from holdfast.contract.runtime import Components
from holdfast.runtime.working import is_coroutine_function
from holdfast.store.change import Change
from holdfast.store.feed.subscribers import EventService
from holdfast.store.instants import instant

CREATED: Final = "store.created"
DELETED: Final = "store.deleted"
CLOSED: Final = "store.closed"
VERSION_SAVED: Final = "store.version.saved"
VERSION_LOADED: Final = "store.version.loaded"
BEGIN: Final = "store.transaction.begin"
COMMIT: Final = "store.transaction.commit"
ROLLBACK: Final = "store.transaction.rollback"

#: Every topic, and the names of its facts beside `name` and `at_ms`.
TOPICS: Final[dict[str, tuple[str, ...]]] = {
    CREATED: ("engine", "path", "kind"),
    DELETED: (),
    CLOSED: (),
    VERSION_SAVED: ("version", "root"),
    VERSION_LOADED: ("version",),
    BEGIN: ("transaction",),
    COMMIT: ("transaction", "changes", "revision"),
    ROLLBACK: ("transaction",),
}


class StoreEvent(msgspec.Struct, frozen=True):
    """Something that happened to a store.

    Attributes:
        topic: such as `store.created`.
        name: of the store.
        at_ms: when, milliseconds since 1970 UTC.
        payload: all facts of the topic, name and instant included.
    """

    topic: str
    name: str
    at_ms: int
    payload: dict[str, Any]


def event(topic: str, name: str, at_ms: int, **facts: Any) -> StoreEvent:
    """An event with the facts that its topic has, and no others.

    Raises:
        TypeError: a fact is missing, or is none of the topic.
    """
    if facts.keys() != set(TOPICS[topic]):
        raise TypeError(f"{topic} has the facts {TOPICS[topic]}; found {sorted(facts)}")
    return StoreEvent(topic, name, at_ms, {"name": name, "at_ms": at_ms, **facts})


class Lifecycle:
    """Brings events of stores to the subscribers of one handle.

    Args:
        components: the clock, and the host that runs slow subscribers.
    """

    def __init__(self, components: Components) -> None:
        self._components = components
        self._service: EventService | None = None
        self._lock = threading.Lock()
        self._count = 0

    def subscribe(
        self, pattern: str, callback: Callable[[StoreEvent], object]
    ) -> Callable[[], None]:
        """Call `callback` with each event whose topic matches; ends when what is returned is.

        Raises:
            PatternInvalid: there is no such pattern, or no topic that it can match.
            InvalidInput: the callback cannot be called.
        """
        wanted = Pattern(pattern.replace(".", "/")) if isinstance(pattern, str) else None
        if wanted is None or not any(wanted.matches(_key(topic)) for topic in TOPICS):
            raise PatternInvalid(
                f"a pattern of topics is a text such as 'store.#'; found {pattern!r}, which "
                f"matches none of {', '.join(TOPICS)}"
            )
        with self._lock:
            if self._service is None:
                self._service = EventService(self._components, self._components.host.runtime())
        return self._service.subscribe(wanted, _of_event(callback))

    def publish(self, topic: str, name: str, **facts: Any) -> None:
        """Tell it to the subscribers."""
        service = self._service
        if service is None or not len(service):
            return
        now = self._components.clock.now_ms()
        told = event(topic, name, now, **facts)
        with self._lock:
            self._count += 1
            count = self._count
        service.emit(
            _key(topic),
            Change(count, 0, topic, name, None, told, instant(now), "write", view="stores",
                   keyspace=name),
        )  # fmt: skip

    async def close(self) -> None:
        """End every subscription, and give those under way a moment to return."""
        service = self._service
        if service is not None:
            service.close()
            await service.wait_closed()


def _key(topic: str) -> StoreKey:
    namespaces, _, name = topic.rpartition(".")
    return StoreKey.parse(f"{namespaces.replace('.', '/')}:{name}")


def _of_event(callback: Callable[[StoreEvent], object]) -> Callable[[Change], object]:
    if not callable(callback):
        return cast("Callable[[Change], object]", callback)  # refused by the service
    if is_coroutine_function(callback):
        waiting = cast("Callable[[StoreEvent], Awaitable[object]]", callback)

        @wraps(callback)
        async def awaited(change: Change) -> object:
            return await waiting(change.after)

        return awaited

    def called(change: Change) -> object:
        return callback(change.after)

    called.__qualname__ = getattr(callback, "__qualname__", type(callback).__qualname__)
    return called
