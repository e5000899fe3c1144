"""Declaring events: fluently, or as classes that type checkers know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from holdfast.contract.errors import DuplicateNamespace, InvalidInput, InvalidName
from holdfast.state.event_names import EventNameRules
from holdfast.state.events.shapes import Shape, shape_of

#: Names to events or further groups.
Tree = Mapping[str, "Leaf | Tree"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A declared event."""

    shape: Shape | None


@dataclass(frozen=True, slots=True)
class EventRegistry:
    """The declared events of some namespaces; see `Events` and `EventClass`.

    Attributes:
        tree: namespaces, groups and events by their names.
    """

    tree: Tree = field(default_factory=lambda: MappingProxyType({}))

    def merged(self, other: EventRegistry) -> EventRegistry:
        """Both together.

        Raises:
            DuplicateNamespace: a namespace is in both.
        """
        twice = sorted(self.tree.keys() & other.tree.keys())
        if twice:
            raise DuplicateNamespace(
                f"each namespace of events is added once; found {', '.join(twice)} twice. Put the "
                "events of a namespace into one registry"
            )
        return EventRegistry(MappingProxyType({**self.tree, **other.tree}))

    def find(self, channel: str) -> Leaf | None:
        """The event that is published on a channel, or None when none is declared."""
        found: Leaf | Tree | None = self.tree
        for segment in channel.split(":"):
            if isinstance(found, Leaf) or found is None:
                return None
            found = found.get(segment)
        return found if isinstance(found, Leaf) else None

    def channels(self) -> list[str]:
        """Every declared channel."""
        return list(_paths(self.tree, ""))


def _paths(tree: Tree, before: str) -> list[str]:
    found = []
    for name, inside in tree.items():
        path = before + name
        found += [path] if isinstance(inside, Leaf) else _paths(inside, path + ":")
    return found


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events below a common name, collected step by step; each step returns another group."""

    tree: Tree = field(default_factory=lambda: MappingProxyType({}))

    def event(self, name: str, schema: Any = None) -> Self:
        """Declare an event.

        Args:
            name: one segment of its channel.
            schema: a msgspec Struct, dataclass, pydantic model, JSON Schema, `~standard` object or
                function; None: anything may be published.

        Raises:
            InvalidName: the name cannot be one, or is taken.
            InvalidInput: the schema is none.
        """
        return self._with(name, Leaf(shape_of(schema)))

    def group(self, name: str, build: Callable[[EventGroup], EventGroup]) -> Self:
        """Declare events below a further name: `group("invoice", lambda g: g.event("paid"))`."""
        built = build(EventGroup())
        if not isinstance(built, EventGroup):
            raise InvalidInput("the function of a group returns the group that it was given, built")
        return self._with(name, built.tree)

    def _with(self, name: str, inside: Leaf | Tree) -> Self:
        EventNameRules.event(name)
        if name in self.tree:
            raise InvalidName(f"each event of a group has a name of its own; found {name!r} twice")
        return replace(self, tree=MappingProxyType({**self.tree, name: inside}))


@dataclass(frozen=True, slots=True)
class Events(EventGroup):
    """The events of one namespace, collected step by step.

    Events.create("billing").event("invoice_paid", InvoicePaid).build()
    """

    namespace: str = ""

    @classmethod
    def create(cls, namespace: str) -> Events:
        """An empty namespace.

        Raises:
            InvalidName: the name cannot be one.
        """
        return cls(namespace=EventNameRules.event(namespace))

    def build(self) -> EventRegistry:
        """What `add_events` takes."""
        return EventRegistry(MappingProxyType({self.namespace: self.tree}))
