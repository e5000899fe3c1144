"""How an operation is seen from outside: telemetry, the logger, and the facts of its failure.

Without telemetry and logger an operation pays one look at an attribute.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, Protocol, TypeVar

from holdfast.contract.errors import StoreError
from holdfast.contract.runtime import Clock
from holdfast.state.keys import ScopedKeys
from holdfast.state.telemetry import Call, Operation, Telemetry, TelemetryEvent, error_attributes

T = TypeVar("T")

_log = logging.getLogger("holdfast")
_NOTHING: Mapping[str, Any] = {}
#: What ends more than the call in which it is raised.
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Logger(Protocol):
    """As much of `logging.Logger` as is used."""

    def debug(self, message: str, /, *arguments: object) -> None: ...
    def info(self, message: str, /, *arguments: object) -> None: ...
    def warning(self, message: str, /, *arguments: object) -> None: ...


class Seen:
    """One operation that somebody watches."""

    __slots__ = ("_began", "_observer", "_operation", "call")

    def __init__(self, observer: Observer, operation: Operation) -> None:
        self._observer = observer
        self._operation = operation
        self.call = Call(operation.name, observer.namespace)
        self._began = observer.clock.monotonic()

    def success(self, attributes: Mapping[str, Any] = _NOTHING) -> None:
        """It went well."""
        observer = self._observer
        self.call.took_s = observer.clock.monotonic() - self._began
        observer.tell(self._operation, "success", attributes, self.call)
        if observer.logger is not None:
            told = " ".join(f"{name.rpartition('.')[2]}={v}" for name, v in attributes.items())
            took_ms = self.call.took_s * 1000
            observer.log("info", "%s done %s in %.3f ms", self._operation.name, told, took_ms)

    def error(self, error: BaseException) -> None:
        """It failed."""
        self.call.took_s = self._observer.clock.monotonic() - self._began
        self._observer.tell(self._operation, "error", error_attributes(error), self.call)


class Observer:
    """Tells what the operations of one scope do.

    Attributes:
        on: whether somebody is told; the one thing an operation looks at.
        namespace: what the names of events begin with.
    """

    __slots__ = ("_common", "clock", "logger", "namespace", "on", "telemetry", "warned")

    def __init__(
        self,
        keys: ScopedKeys,
        clock: Clock,
        telemetry: Telemetry | None,
        logger: Logger | None,
        warned: set[str],
    ) -> None:
        self.clock = clock
        self.telemetry = telemetry
        self.logger = logger
        self.on = telemetry is not None or logger is not None
        self.warned = warned
        self.namespace = keys.prefix.replace(":", ".")
        self._common = {"ctx.store.service": keys.service}
        if keys.chain:
            self._common["ctx.store.scope_key"] = keys.chain[-1].key

    def started(
        self, operation: Operation, key: str = "", attributes: Mapping[str, Any] = _NOTHING
    ) -> Seen:
        """It begins. Only called when `on`."""
        common = {**self._common, "ctx.store.namespace": operation.namespace, **attributes}
        seen = Seen(self, operation)
        self.tell(operation, "started", common, seen.call)
        if self.logger is not None:
            self.log("debug", "%s started %s", operation.name, key)
        return seen

    def log(self, level: str, message: str, *arguments: object) -> None:
        """Tell the logger. One that fails does not disturb the operation."""
        try:
            getattr(self.logger or _log, level)(message, *arguments)
        except _ENDS:
            raise
        except BaseException:  # noqa: BLE001 - whatever it raises is its own affair
            if "logger" not in self.warned:
                self.warned.add("logger")
                _log.warning("the logger of a store failed; told once")

    def tell(
        self,
        operation: Operation,
        phase: str,
        attributes: Mapping[str, Any],
        call: Call | None = None,
    ) -> None:
        """Emit one event. Telemetry that fails does not disturb the operation."""
        if self.telemetry is None:
            return
        level = "error" if phase == "error" else "debug"
        name = f"{self.namespace}.{operation.name}.{phase}"
        try:
            self.telemetry.emit(TelemetryEvent(name, level, attributes, call))  # type: ignore[arg-type]
        except _ENDS:
            raise
        except BaseException:  # noqa: BLE001 - whatever it raises is its own affair
            self.warn_once("telemetry", "telemetry failed at %s; told once", name)

    def warn_once(self, about: str, message: str, *arguments: object) -> None:
        """A warning of one kind, once for each store."""
        if about not in self.warned:
            self.warned.add(about)
            self.log("warning", message, *arguments)

    async def run(
        self,
        operation: Operation,
        key: str,
        work: Awaitable[T],
        started: Mapping[str, Any] = _NOTHING,
        success: Callable[[T], Mapping[str, Any]] | None = None,
    ) -> T:
        """Await the work of an operation that is not among the quickest."""
        seen = self.started(operation, key, started) if self.on else None
        try:
            result = await work
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, operation, key, seen)
        if seen is not None:
            seen.success(_NOTHING if success is None else success(result))
        return result


def fail(error: BaseException, operation: Operation, key: str, seen: Seen | None) -> NoReturn:
    """Raise the failure of an operation, with its facts; a stranger's becomes OPERATION_FAILED."""
    raised = error
    if isinstance(error, StoreError):
        _state(error, operation, key)
    elif isinstance(error, Exception):
        raised = StoreError(
            f"{operation.name} failed with {type(error).__name__}, which is the cause of this error"
        )
        _state(raised, operation, key)
    if seen is not None:
        seen.error(raised)
    if raised is error:
        raise error
    raise raised from error


def _state(error: StoreError, operation: Operation, key: str) -> None:
    done = operation.name.partition(".")[2]
    facts = {"key": key, "namespace": operation.namespace, "operation": done}
    error.within(**facts, metadata=facts)
