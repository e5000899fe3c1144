"""What OpenTelemetry gets: durations, hits, spans; and never a key or a value."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast.contract.errors import StoreError
from holdfast.state import (
    MockStoreAdapter,
    OpenTelemetry,
    ScopedStore,
    StoreBuilder,
    build_store,
    observing,
)
from holdfast.state.observing import Observer, Seen
from holdfast.state.telemetry import TelemetryEvent
from tests.state.conftest import opened, run
from tests.state.operations import MARKER, OPERATIONS
from tests.state.places import Place


class Collector:
    """The two ends of OpenTelemetry's own SDK, in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = tracers.get_tracer("test")
        self.meter = MeterProvider([self.reader]).get_meter("test")
        self.telemetry = OpenTelemetry(system="redis", meter=self.meter, tracer=self.tracer)

    def points(self) -> dict[str, list[Any]]:
        data: Any = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.mark.row("D-007", "D-005")
def test_durations_hits_and_spans(place: Place, service: str) -> None:
    collector = Collector()

    async def main() -> None:
        def watched(builder: StoreBuilder) -> StoreBuilder:
            return builder.with_telemetry(collector.telemetry)

        async with opened(place, service, watched) as store:
            with collector.tracer.start_as_current_span("request"):
                await store.kv.get("a")
                await store.kv.set("a", 1)
                await asyncio.gather(*(store.kv.get("a") for _ in range(3)))
                await store.claim.once("c", 1, ttl=5)
            with pytest.raises(StoreError):
                await store.streams.group("g", "c").read("none")

    run(main())
    points = collector.points()
    gets = [
        one
        for one in points["db.client.operation.duration"]
        if one.attributes["db.operation.name"] == "kv.get"
    ]
    assert [one.count for one in gets] == [4]
    assert 0 < gets[0].sum < 5
    assert dict(gets[0].attributes) == {
        "db.system.name": "redis", "db.operation.name": "kv.get", "db.namespace": service,
        "db.collection.name": "kv",
    }  # fmt: skip
    found = {
        one.attributes["holdfast.found"]: one.value
        for one in points["holdfast.state.lookups"]
        if one.attributes["db.operation.name"] == "kv.get"
    }
    assert found == {True: 3, False: 1}
    spans = {one.name: one for one in collector.exporter.get_finished_spans()}
    assert spans["kv.get kv"].parent is not None
    assert spans["kv.get kv"].parent.span_id == spans["request"].context.span_id
    assert spans["kv.get kv"].attributes is not None
    assert spans["kv.get kv"].attributes["ctx.kv.found"] is True
    assert spans["kv.get kv"].kind is trace.SpanKind.CLIENT
    failed = spans["stream.read streams"]
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "KEY_NOT_FOUND"
    errors = [
        one.count
        for one in points["db.client.operation.duration"]
        if one.attributes.get("error.type") == "KEY_NOT_FOUND"
    ]
    assert errors == [1]


@pytest.mark.row("D-072", "trap 46")
@pytest.mark.parametrize("failing", [False, True])
def test_no_key_and_no_value_shows_up(failing: bool) -> None:
    collector = Collector()

    async def one(work: Callable[[ScopedStore], Any]) -> None:
        adapter = MockStoreAdapter()
        builder = StoreBuilder.create().with_adapter(adapter).with_service("api")
        store = builder.with_telemetry(collector.telemetry).build().scope("org", f"id-{MARKER}")
        if failing:
            adapter.fail("*", OSError(f"no way to {MARKER}"), times=100)
        try:
            await asyncio.wait_for(work(store), 0.5)
        except StoreError:
            assert failing

    for name, work in OPERATIONS.items():
        if name != "group.consume":
            asyncio.run(one(work))
    spans = [
        (span.name, dict(span.attributes or {}), span.status.description, span.events)
        for span in collector.exporter.get_finished_spans()
    ]
    assert len(spans) >= 50
    assert MARKER not in repr(spans)
    assert MARKER not in repr(collector.points())


def test_either_can_be_left_out_and_strangers_do_no_harm() -> None:
    collector = Collector()
    spans_only = OpenTelemetry(meter=False, tracer=collector.tracer)
    metrics_only = OpenTelemetry(meter=collector.meter, tracer=False)

    async def main() -> None:
        for telemetry in (spans_only, metrics_only, OpenTelemetry()):
            builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("api")
            await builder.with_telemetry(telemetry).build().kv.get("a")
            telemetry.emit(TelemetryEvent("holdfast.state.events.deliver.error", "error", {}))

    run(main())
    assert len(collector.exporter.get_finished_spans()) == 1
    [point] = collector.points()["db.client.operation.duration"]
    assert point.count == 1


def test_without_the_api_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from holdfast.state import OpenTelemetry\n"
        "try: OpenTelemetry()\n"
        "except ImportError as error: print(error.code, error.details['extra'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["DRIVER_MISSING", "telemetry"]


@pytest.mark.row("D-118", "D-067")
def test_off_nothing_is_called_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What that saves is a figure of `python -m benchmarks --only state`."""

    def called(*_: Any, **__: Any) -> Any:
        raise AssertionError("nobody looks")

    for kind, name in ((Observer, "started"), (Seen, "success"), (Seen, "error")):
        monkeypatch.setattr(kind, name, called)
    monkeypatch.setattr(observing, "TelemetryEvent", called)
    monkeypatch.setattr(observing, "Call", called)

    async def main() -> None:
        for name, work in OPERATIONS.items():
            if name != "group.consume":  # It goes on until it is stopped.
                await work(build_store(MockStoreAdapter(), "api"))

    run(main())
