"""Source of classes for events that were declared fluently: type checkers know them, too."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from holdfast.state.events.classes import EventClass
from holdfast.state.events.registry import EventRegistry, Leaf, Tree

_HEADER = (
    '''"""Written by `holdfast.state.event_classes`; write it anew when the events change."""'''
)
#: What the written classes use or inherit: an event of such a name gets another attribute.
_USED = frozenset((*dir(EventClass), "Any", "area", "cast", "event", "group", "path"))
_CLASS = re.compile(r"\w+Events\d*")


def event_classes(registry: EventRegistry) -> str:
    """Source of a module with a class for each namespace of a registry.

        Path("shop/events.py").write_text(event_classes(registry))
        ...
        await store.events.of(OrderEvents).placed.publish(Placed("1"))

    The store goes on with the registry; the classes say which events it has and of what class
    their data is. Data of schemas that are no classes, and of classes inside functions, is `Any`.
    """
    written = _Written(_USED.union(*map(_modules_of, registry.tree.values())))
    for namespace, tree in registry.tree.items():
        if not isinstance(tree, Leaf):
            written.declare(namespace, tree, f', namespace="{namespace}"')
    imports = ["from typing import Any, cast", ""] if written.untyped else []
    imports += [f"import {module}" for module in sorted(written.modules)]
    imports += ["from holdfast.state import EventClass, event, group"]
    return "\n".join([_HEADER, "", *imports, *written.lines]) + "\n"


class _Written:
    """The classes so far, those of groups before those that have them.

    Args:
        used: what no attribute may be called, for the body of its class says it.
    """

    def __init__(self, used: frozenset[str]) -> None:
        self._used = used
        self.lines: list[str] = []
        self.modules: set[str] = set()
        self.untyped = False
        self._names: set[str] = set()

    def declare(self, path: str, tree: Tree, namespace: str = "") -> str:
        """Write the class of a namespace or a group; its name."""
        body = list(self._members(path, tree))
        name = base = _class_name(path) + "Events"
        number = 1
        while name in self._names:
            number += 1
            name = f"{base}{number}"
        self._names.add(name)
        self.lines += ["", "", f"class {name}(EventClass{namespace}):", *(body or ["    pass"])]
        return name

    def _members(self, path: str, tree: Tree) -> Iterator[str]:
        taken: set[str] = set()
        for name, inside in tree.items():
            attribute = _attribute(name)
            while attribute in taken or attribute in self._used or _CLASS.fullmatch(attribute):
                attribute += "_"
            taken.add(attribute)
            named = "" if attribute == name else f', name="{name}"'
            if isinstance(inside, Leaf):
                yield f"    {attribute} = {self._event(inside, named)}"
            else:
                made = self.declare(f"{path}_{name}", inside)
                yield f"    {attribute} = group({made}{named})"

    def _event(self, leaf: Leaf, named: str) -> str:
        kind = _kind(leaf)
        if kind is None:
            self.untyped = True
            return f"event[Any](cast(Any, None){named})"
        self.modules.add(kind.__module__)
        return f"event({kind.__module__}.{kind.__qualname__}{named})"


def _kind(leaf: Leaf) -> type | None:
    """The class of an event's data, if another module can import it."""
    kind = None if leaf.shape is None else leaf.shape.kind
    return None if kind is None or "<" in kind.__qualname__ else kind


def _modules_of(tree: Leaf | Tree) -> frozenset[str]:
    """The names that stand first where the classes of data are said."""
    if isinstance(tree, Leaf):
        kind = _kind(tree)
        return frozenset() if kind is None else frozenset((kind.__module__.partition(".")[0],))
    return frozenset().union(*map(_modules_of, tree.values()))


def _class_name(path: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_-]+", path) if part)


def _attribute(name: str) -> str:
    attribute = name.replace("-", "_")
    if attribute.startswith("__"):
        attribute = f"event{attribute}"  # Python would put the name of the class before it.
    return attribute + "_" if keyword.iskeyword(attribute) else attribute
