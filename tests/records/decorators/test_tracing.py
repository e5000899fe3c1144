"""Spans of OpenTelemetry, with its own SDK; and a program where it is not installed."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import holdfast
from holdfast import Conflict
from holdfast.records.decorators.logged import Logged
from holdfast.records.tracing import OpenTelemetryTracing, installed_tracing
from tests.store.scene import Scene, core_of, listed

SOURCE = Path(holdfast.__file__).parents[1]
SECRET = "the value that no trace may ever hold"


@pytest.mark.row("K-064")
async def test_each_call_is_a_span_without_keys_and_values(scene: Scene) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("test")
    async with scene.open() as db:
        entries = Logged(core_of(db), db.log, tracing=OpenTelemetryTracing(tracer))
        with tracer.start_as_current_span("request") as request:
            await entries.set("secretive:1", SECRET)
        with pytest.raises(Conflict):
            await entries.set("secretive:1", SECRET, if_absent=True)

        def change(_value: object) -> object:
            raise ZeroDivisionError(SECRET)

        with pytest.raises(ZeroDivisionError):
            await entries.modify("secretive:1", change)
        await listed(entries.keys())
        records = await listed(db.log.query())
    told = [span for span in spans.get_finished_spans() if span.name != "request"]
    assert [span.name for span in told] == [
        "holdfast set", "holdfast set", "holdfast modify", "holdfast keys"
    ]  # fmt: skip
    well, conflict, broken, _ = told
    assert well.parent is not None
    assert well.parent.span_id == request.get_span_context().span_id
    assert well.status.status_code is StatusCode.UNSET
    attributes = [dict(span.attributes or {}) for span in told]
    assert [one["holdfast.transaction_id"] for one in attributes] == [r.id for r in records]
    assert attributes[0]["db.operation.name"] == "set"
    assert conflict.status.status_code is broken.status.status_code is StatusCode.ERROR
    assert [one.get("error.type") for one in attributes[1:3]] == [
        "VERSION_CONFLICT", "ZeroDivisionError"
    ]  # fmt: skip
    shown = "".join(span.to_json() for span in told)
    assert SECRET not in shown
    assert "secretive" not in shown


def test_the_installed_api_is_used() -> None:
    assert isinstance(installed_tracing(), OpenTelemetryTracing)


def test_without_the_api_everything_else_works() -> None:
    program = """
        import sys
        sys.modules["opentelemetry"] = None
        import holdfast.sync
        with holdfast.sync.open("memory://", logged=True) as db:
            db.entries.set("a:1", 1)
            print([record.operation for record in db.log.query()])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout == "['set']\n"
