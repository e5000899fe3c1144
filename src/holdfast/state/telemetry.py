"""What the state view tells about itself: the registry of events, and the protocol of who listens.

Each operation tells `<area>.<operation>.started`, then `.success` or `.error`. The attributes of
each event are listed here with their types; none of them ever holds a value, a message or a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

from holdfast.contract.errors import ErrorCode, StoreError

Level = Literal["debug", "error"]
Phase = Literal["started", "success", "error"]

#: Attributes of every started event; `scope_key` if there is a scope.
COMMON: Final[Mapping[str, type]] = {
    "ctx.store.service": str, "ctx.store.namespace": str, "ctx.store.scope_key": str,
}  # fmt: skip
#: Attributes of every error event.
ERROR: Final[Mapping[str, type]] = {"ctx.error.code": str, "ctx.error.message": str}


class Call:
    """One operation under way, the same in all of its events.

    Attributes:
        operation: area and operation, such as `kv.get`.
        namespace: what it is called before that, such as `holdfast.state`.
        took_s: seconds from its start, once it has ended.
        note: whatever the listener wants to remember of it.
    """

    __slots__ = ("namespace", "note", "operation", "took_s")

    def __init__(self, operation: str, namespace: str) -> None:
        self.operation = operation
        self.namespace = namespace
        self.took_s = 0.0
        self.note: Any = None


class TelemetryEvent(NamedTuple):
    """One event, such as `holdfast.state.kv.get.success` with `{"ctx.kv.found": True}`.

    Attributes:
        name: namespace, area, operation and phase.
        level: `error` for errors alone.
        attributes: see the registry.
        call: which operation under way it belongs to; None where there is none.
    """

    name: str
    level: Level
    attributes: Mapping[str, Any]
    call: Call | None = None


@runtime_checkable
class Telemetry(Protocol):
    """Who is told, where the operation runs: it is quick, and what it raises is lost."""

    def emit(self, event: TelemetryEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation and the attributes of its events.

    Attributes:
        name: area and operation, such as `kv.get`.
        namespace: the area whose keys it works on.
        started: further attributes of its start, absent when not given.
        success: attributes of its success.
    """

    name: str
    namespace: str
    started: Mapping[str, type]
    success: Mapping[str, type]
    phases: tuple[Phase, ...] = ("started", "success", "error")


class EventSpec(NamedTuple):
    """What an event of the registry looks like.

    Attributes:
        level: `debug`, or `error`.
        attributes: names and types.
        required: those that are always there.
    """

    level: Level
    attributes: Mapping[str, type]
    required: frozenset[str]


#: Every operation, by name.
OPERATIONS: Final[dict[str, Operation]] = {}


def operation(
    name: str,
    namespace: str,
    started: Mapping[str, type] | None = None,
    success: Mapping[str, type] | None = None,
    phases: tuple[Phase, ...] = ("started", "success", "error"),
) -> Operation:
    """Register an operation. An area does this where it begins, before anything is told.

    Raises:
        ValueError: the name is taken, or an attribute is not called `ctx.<domain>.<field>`.
    """
    for attribute in (*(started or ()), *(success or ())):
        if not re.fullmatch(r"ctx\.[a-z]+\.[a-z_]+", attribute):
            raise ValueError(f"an attribute reads ctx.<domain>.<field>; found {attribute!r}")
    made = Operation(name, namespace, started or {}, success or {}, phases)
    if OPERATIONS.setdefault(name, made) != made:
        raise ValueError(f"the operation {name!r} is registered already, with other attributes")
    return made


def events() -> dict[str, EventSpec]:
    """Every event there can be, by its name without the namespace of telemetry."""
    found: dict[str, EventSpec] = {}
    for one in OPERATIONS.values():
        common = frozenset(("ctx.store.service", "ctx.store.namespace"))
        shapes: dict[Phase, EventSpec] = {
            "started": EventSpec("debug", {**COMMON, **one.started}, common),
            "success": EventSpec("debug", one.success, frozenset()),
            "error": EventSpec("error", ERROR, frozenset(ERROR)),
        }
        for phase in one.phases:
            found[f"{one.name}.{phase}"] = shapes[phase]
    return found


def complaint(event: TelemetryEvent, namespace: str) -> str | None:
    """What is wrong with an event, or None when it is as registered."""
    name = event.name.removeprefix(f"{namespace}.")
    spec = events().get(name)
    if spec is None or name == event.name:
        return f"{event.name} is not registered"
    if event.level != spec.level:
        return f"{name} has level {spec.level}; found {event.level}"
    missing = spec.required - event.attributes.keys()
    if missing:
        return f"{name} lacks {sorted(missing)}"
    for attribute, value in event.attributes.items():
        if type(value) is not spec.attributes.get(attribute):
            return f"{name}: {attribute} is not registered with type {type(value).__name__}"
    return None


class RecordingTelemetry:
    """Keeps what it is told, for tests. An event that is not registered raises and is remembered.

    Attributes:
        recorded: the events, in order.
        complaints: what was wrong with some.
    """

    def __init__(self, namespace: str = "holdfast.state") -> None:
        self.namespace = namespace
        self.recorded: list[TelemetryEvent] = []
        self.complaints: list[str] = []

    def emit(self, event: TelemetryEvent) -> None:
        found = complaint(event, self.namespace)
        if found is not None:
            self.complaints.append(found)
            raise AssertionError(found)
        self.recorded.append(event)

    @property
    def names(self) -> list[str]:
        """Names without the namespace."""
        return [event.name.removeprefix(f"{self.namespace}.") for event in self.recorded]


def error_attributes(error: BaseException) -> dict[str, Any]:
    """What an error event tells: the code, and what the code means. Never the error's own words."""
    code = error.code if isinstance(error, StoreError) else ErrorCode.OPERATION_FAILED
    return {"ctx.error.code": str(code), "ctx.error.message": _MEANINGS[code]}


def _meaning(kind: Callable[..., StoreError]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


_MEANINGS = {code: _meaning(kind) for code, kind in StoreError.by_code.items()} | {
    ErrorCode.OPERATION_FAILED: "The operation failed for a reason that has no code of its own.",
}
