"""What of a handle its twin mirrors: names, bases, members."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from tools.sync_twins.declarations import TWINS
from tools.sync_twins.twin import Twin

NAMES = {known: twin.twin for twin in TWINS for known in (twin.handle.__name__, *twin.stands_for)}
#: The one twin that is written by hand: an iterator that many threads may share.
NAMES["Walk"] = "Walk"
#: A snapshot about to be taken is taken at once.
NAMES["Opening"] = "SnapshotView"

#: What does a verb at once is for decorators, not for callers.
AT_ONCE = ("peek", "write_now")
SPECIAL = ("__aenter__", "__aexit__", "__aiter__", "__anext__", "__repr__", "__call__")
PROPERTIES = (property, functools.cached_property)


def twin_of(annotation: str) -> str | None:
    """The twin that an annotation names, also where it says of what: `Collection[T]`."""
    return NAMES.get(annotation.partition("[")[0])


def base_of(twin: Twin) -> Twin | None:
    """The twin that this one inherits: of the nearest base of its handle that has one."""
    shared = {one.handle: one for one in TWINS if one.shared}
    return next((shared[one] for one in twin.handle.__mro__[1:] if one in shared), None)


def owners_of(twin: Twin) -> list[type]:
    """The handle and its bases of this project, but for those that the base's twin mirrors."""
    base = base_of(twin)
    mirrored = () if base is None else base.handle.__mro__
    return [
        one
        for one in twin.handle.__mro__
        if one.__module__.partition(".")[0] == "holdfast" and one not in mirrored
    ]


def members(twin: Twin) -> Iterator[tuple[str, Any]]:
    """What users of the handle may call, in the order of the source; not what the twin inherits."""
    seen = set()
    for owner in owners_of(twin):
        for name, member in vars(owner).items():
            shown = (not name.startswith("_") or name in SPECIAL) and name not in AT_ONCE
            if shown and name not in seen and callable_or_property(member):
                seen.add(name)
                yield name, member


def inherited(handle: type, name: str) -> str | None:
    """What a base says of a method that says nothing itself."""
    return next(
        (doc for one in handle.__mro__ if (doc := getattr(vars(one).get(name), "__doc__", None))),
        None,
    )


def callable_or_property(member: Any) -> bool:
    return isinstance(member, PROPERTIES) or inspect.isfunction(member)


def getter(member: Any) -> Callable[..., Any]:
    """The function behind a property."""
    found = member.func if isinstance(member, functools.cached_property) else member.fget
    assert inspect.isfunction(found)
    return found


def property_type(member: Any) -> str:
    return str(inspect.signature(getter(member)).return_annotation)
