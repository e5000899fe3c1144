"""Events declared as classes, so that type checkers know their names and their data.

class OrderEvents(EventClass, namespace="order"):
    placed = event(OrderPlaced)
    payment = group(PaymentEvents)

await store.events.of(OrderEvents).placed.publish(OrderPlaced(id="1", amount=5))
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

from holdfast.contract.errors import InvalidInput, InvalidName
from holdfast.state.events.message import Message
from holdfast.state.events.registry import EventGroup, EventRegistry, Events
from holdfast.state.events.subscription import Subscription

T = TypeVar("T")
G = TypeVar("G", bound="EventClass")


class Channels(Protocol):
    """Where declared events are published and heard: `EventsArea`, which gives them out."""

    async def publish(self, channel: str, data: Any) -> None: ...
    async def subscribe(
        self, channel: str, handler: Callable[[Message[Any]], Any]
    ) -> Subscription: ...


class TypedAccessor(Generic[T]):
    """One declared event with the type of its data."""

    def __init__(self, area: Channels, channel: str) -> None:
        self._area = area
        self.channel = channel

    async def publish(self, data: T) -> None:
        """Publish it; see `EventsArea.publish`."""
        await self._area.publish(self.channel, data)

    async def subscribe(self, handler: Callable[[Message[T]], Any]) -> Subscription:
        """Have a function called with each; see `EventsArea.subscribe`."""
        return await self._area.subscribe(self.channel, handler)


class event(Generic[T]):  # noqa: N801 - reads like the function it stands for
    """Declares an event of an `EventClass`; its name is that of the attribute.

    Args:
        schema: the class of its data.
        name: where the attribute cannot be called like the event, such as "class".
    """

    def __init__(self, schema: type[T], *, name: str | None = None) -> None:
        self.schema = schema
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    @overload
    def __get__(self, instance: None, owner: type) -> event[T]: ...
    @overload
    def __get__(self, instance: EventClass, owner: type) -> TypedAccessor[T]: ...
    def __get__(self, instance: EventClass | None, owner: type) -> event[T] | TypedAccessor[T]:
        if instance is None:
            return self
        return TypedAccessor(instance.area, f"{instance.path}{self.name}")


class group(Generic[G]):  # noqa: N801 - reads like the function it stands for
    """Declares events below a further name."""

    def __init__(self, events: type[G], *, name: str | None = None) -> None:
        self.events = events
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    @overload
    def __get__(self, instance: None, owner: type) -> group[G]: ...
    @overload
    def __get__(self, instance: EventClass, owner: type) -> G: ...
    def __get__(self, instance: EventClass | None, owner: type) -> group[G] | G:
        if instance is None:
            return self
        return self.events(instance.area, instance.path + str(self.name) + ":")


class EventClass:
    """The events of a namespace, or of a group when no namespace is given.

    What a class declares under the name of an attribute that all of these classes have (`area`,
    `path`, `namespace`) is refused where the class is made.
    """

    namespace: ClassVar[str | None] = None

    def __init_subclass__(cls, *, namespace: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name, declared in _attributes(cls).items():
            if isinstance(declared, event | group):
                _check_attribute(cls, name, declared)
        if "namespace" in vars(cls):
            raise InvalidInput(
                f"the namespace of {cls.__name__} stands behind its bases: class "
                f"{cls.__name__}(EventClass, namespace='order'); found an attribute of that name"
            )
        cls.namespace = namespace

    def __init__(self, area: Channels, path: str) -> None:
        self.area = area
        self.path = path

    @classmethod
    def registry(cls) -> EventRegistry:
        """What `add_events` takes.

        Raises:
            InvalidInput: the class is a group, without a namespace of its own.
            InvalidName: a name cannot be one.
        """
        if cls.namespace is None:
            raise InvalidInput(
                f"a namespace was wanted: class {cls.__name__}(EventClass, namespace='order')"
            )
        declared: Events = cls.declared(Events.create(cls.namespace))
        return declared.build()

    @classmethod
    def declared(cls, collected: Any) -> Any:
        """A group of events, and in it those of this class."""
        for declared in _attributes(cls).values():
            if isinstance(declared, event):
                collected = collected.event(declared.name, declared.schema)
            elif isinstance(declared, group):
                inside: EventGroup = declared.events.declared(EventGroup())
                collected = collected.group(declared.name, _always(inside))
        return collected


#: What every object of such a class has for itself.
_OWN = frozenset((*dir(EventClass), "area", "path"))


def _attributes(cls: type) -> dict[str, Any]:
    """What a class has by name, its own before that of its bases."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base)
    return found


def _check_attribute(cls: type, attribute: str, declared: event[Any] | group[Any]) -> None:
    """Raise InvalidName if the event could not be reached, or would be called otherwise."""
    private = re.fullmatch(r"_\w*?(__\w+)", attribute)
    hidden = private is not None and declared.name == attribute
    if attribute in _OWN or hidden:
        said = private[1] if private is not None and hidden else attribute
        name = said.strip("_") or "event"
        why = "Python renames it" if hidden else "these classes have one of their own"
        raise InvalidName(
            f"{cls.__name__} declares an event as the attribute {said!r}, and {why}. Call the "
            f"attribute otherwise, and give its name: {name}_ = event(schema, name={name!r})"
        )


def _always(built: EventGroup) -> Callable[[EventGroup], EventGroup]:
    return lambda _: built
