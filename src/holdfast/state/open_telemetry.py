"""Telemetry of state to OpenTelemetry: durations, hits and misses, spans.

Names are those of the stable conventions for databases. No attribute ever holds a key, a value, a
message or an identifier: what an event may carry is listed in its registry.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from holdfast.contract.errors import DriverMissing
from holdfast.state.telemetry import TelemetryEvent

#: The histogram of the conventions, in seconds, and its advised boundaries.
DURATION: Final = "db.client.operation.duration"
BOUNDARIES: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
#: Look-ups by operation and by whether something was there: the rate of hits is their quotient.
LOOKUPS: Final = "holdfast.state.lookups"
#: What says of an operation that it looked for something.
FOUND: Final = ("ctx.kv.found", "ctx.kv.existed", "ctx.cache.found", "ctx.counter.found")


class OpenTelemetry:
    """Give it to `with_telemetry`: each operation is measured, and becomes a span.

    Args:
        system: what the conventions call the keeper, such as `redis`.
        meter, tracer: where they go; those of the global providers unless given. False: nowhere.

    Raises:
        DriverMissing: the API of OpenTelemetry is not installed.
    """

    def __init__(self, *, system: str = "holdfast", meter: Any = None, tracer: Any = None) -> None:
        try:
            trace = import_module("opentelemetry.trace")
            metrics = import_module("opentelemetry.metrics")
        except ImportError as error:
            raise DriverMissing(
                "the package opentelemetry-api was wanted; found none. Install it with: pip "
                "install 'holdfast-db[telemetry]'",
                extra="telemetry",
                driver="opentelemetry-api",
            ) from error
        self._system = system
        self._kind = trace.SpanKind.CLIENT
        self._error = trace.StatusCode.ERROR
        self._tracer = trace.get_tracer("holdfast.state") if tracer is None else tracer or None
        meter = metrics.get_meter("holdfast.state") if meter is None else meter
        self._duration: Any = None
        self._lookups: Any = None
        if meter:
            self._duration = meter.create_histogram(
                DURATION,
                unit="s",
                description="Duration of operations",
                explicit_bucket_boundaries_advisory=BOUNDARIES,
            )
            self._lookups = meter.create_counter(LOOKUPS, description="What was looked for")

    def emit(self, event: TelemetryEvent) -> None:
        """An operation begins, or has ended."""
        call = event.call
        if call is None:
            return
        if event.name.endswith(".started"):
            call.note = self._begun(call.operation, event)
            return
        if call.note is None:
            return  # It began before anybody listened.
        labels, span = call.note
        code = event.attributes.get("ctx.error.code")
        if code is not None:
            labels = {**labels, "error.type": code}
        if self._duration is not None:
            self._duration.record(call.took_s, labels)
            self._count(event, labels)
        if span is not None:
            span.set_attributes({"error.type": code} if code is not None else event.attributes)
            if code is not None:
                span.set_status(self._error)
            span.end()

    # --- Inside -----------------------------------------------------------------------------

    def _begun(self, operation: str, event: TelemetryEvent) -> tuple[dict[str, Any], Any]:
        attributes = event.attributes
        labels = {
            "db.system.name": self._system,
            "db.operation.name": operation,
            "db.namespace": attributes["ctx.store.service"],
            "db.collection.name": attributes["ctx.store.namespace"],
        }
        if self._tracer is None:
            return labels, None
        span = self._tracer.start_span(
            f"{operation} {labels['db.collection.name']}",
            kind=self._kind,
            attributes={**labels, **attributes},
        )
        return labels, span

    def _count(self, event: TelemetryEvent, labels: dict[str, Any]) -> None:
        for name in FOUND:
            found = event.attributes.get(name)
            if found is not None:
                self._lookups.add(1, {**labels, "holdfast.found": found})
