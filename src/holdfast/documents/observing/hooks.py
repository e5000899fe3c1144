"""Hooks: handlers that are called before and after the operations on a collection's documents."""

from __future__ import annotations

from typing import Any, Final

from holdfast.contract.errors import InvalidInput, QuotaExceeded, StoreError
from holdfast.documents.observing.calling import Handler, call, call_all, log_raised

#: The events around operations; `change` is told by the feed.
HOOKS: Final = (
    "before:get", "after:get", "before:set", "after:set", "before:delete", "after:delete", "error",
)  # fmt: skip
CHANGE: Final = "change"
EVENTS: Final = (*HOOKS, CHANGE)
#: How many handlers an event of a collection has at most.
HANDLERS_MAX: Final = 1000


def checked_event(event: Any) -> str:
    """The name of an event. Raises InvalidInput."""
    if event in EVENTS:
        return str.__str__(event)
    raise InvalidInput(
        f"an event is one of {', '.join(EVENTS)}; found "
        + (repr(event)[:80] if isinstance(event, str) else f"a {type(event).__name__}")
    )


class Hooks:
    """The handlers around the operations on one collection, of one handle on the database.

    Attributes:
        name: of the collection.
        reads, writes: whether there are any for reads, and for writes.
        errors: whether there are any for errors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._handlers: dict[str, tuple[Handler, ...]] = {}
        self.reads = self.writes = self.errors = False

    def add(self, event: str, handler: Handler) -> None:
        """Have a handler called for an event, as often as it was added. Raises QuotaExceeded."""
        known = self._handlers.get(event, ())
        require_room(len(known), event)
        self._handlers[event] = (*known, handler)
        self._note()

    def remove(self, event: str, handler: Handler) -> None:
        """Call it once less; a handler that is not there is none."""
        known = list(self._handlers.get(event, ()))
        if handler in known:
            known.remove(handler)
            self._handlers[event] = tuple(known)
            self._note()

    @property
    def any(self) -> bool:
        """Whether there are any handlers."""
        return self.reads or self.writes or self.errors

    async def before(self, event: str, *arguments: Any) -> None:
        """Call the handlers of an event, each after the other; what one raises goes on."""
        for handler in self._handlers.get(event, ()):
            await call(handler, *arguments)

    async def after(self, event: str, *arguments: Any) -> None:
        """Call the handlers of what has been done: nothing they raise undoes it.

        It is logged, and told as an error if it is a StoreError; an interrupt goes on.
        """
        handlers = self._handlers.get(event, ())
        if handlers:
            log_raised(event, await call_all(handlers, *arguments))

    async def failed(self, error: StoreError) -> None:
        """An operation failed."""
        await self.after("error", error)

    def _note(self) -> None:
        held = {event for event, handlers in self._handlers.items() if handlers}
        self.reads = bool(held & {"before:get", "after:get"})
        self.writes = bool(held & set(HOOKS[2:6]))
        self.errors = "error" in held


def require_room(handlers: int, event: str) -> None:
    """Raise QuotaExceeded when an event has as many handlers as it may."""
    if handlers >= HANDLERS_MAX:
        raise QuotaExceeded(
            f"{event!r} of a collection has at most {HANDLERS_MAX} handlers; remove those that "
            "are not needed any more with `off`",
            limit=HANDLERS_MAX,
        )
