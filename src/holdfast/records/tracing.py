"""Spans of OpenTelemetry, when its API is installed; nothing otherwise.

A span says what kind of operation it was, how many keys it named and how it ended: never which
keys, never values.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from holdfast.contract.errors import StoreError


class Span(Protocol):
    """An operation under way, as a trace shows it."""

    def end(self, error: BaseException | None) -> None:
        """It has ended; with that error, or well."""
        ...


class Tracing(Protocol):
    """Begins spans."""

    def begin(self, operation: str, key_count: int, transaction_id: str) -> Span:
        """The span of one operation, a child of the caller's current one."""
        ...


def installed_tracing() -> Tracing | None:
    """What begins spans with the installed API; None where there is none."""
    try:
        trace = import_module("opentelemetry.trace")
    except ImportError:
        return None
    return OpenTelemetryTracing(trace.get_tracer("holdfast"))


class OpenTelemetryTracing:
    """Begins spans of one tracer of OpenTelemetry."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._trace = import_module("opentelemetry.trace")

    def begin(self, operation: str, key_count: int, transaction_id: str) -> Span:
        span = self._tracer.start_span(
            f"holdfast {operation}",
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                "db.system.name": "holdfast",
                "db.operation.name": operation,
                "db.operation.batch.size": key_count,
                "holdfast.transaction_id": transaction_id,
            },
        )
        return _OpenTelemetrySpan(span, self._trace)


class _OpenTelemetrySpan:
    def __init__(self, span: Any, trace: Any) -> None:
        self._span = span
        self._trace = trace

    def end(self, error: BaseException | None) -> None:
        if error is not None:
            # Only the class: the text of a foreign exception may hold a value.
            kind = error.code.value if isinstance(error, StoreError) else type(error).__name__
            self._span.set_attribute("error.type", kind)
            self._span.set_status(self._trace.StatusCode.ERROR)
        self._span.end()
