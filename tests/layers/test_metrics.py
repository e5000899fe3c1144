"""Every call is counted and timed once, and nothing tells of a key or a value."""

from __future__ import annotations

import os
import re
import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import ConfigInvalid, ConnectionLost
from holdfast.contract.record import Range
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.faults import Fault
from holdfast.layers.metrics import BOUNDARIES, PROCESS, Measurements, Metrics, MetricsLayer
from holdfast.layers.stack import stack
from holdfast.runtime.system import drive
from tests.layers.trouble import components, failing, opened

NUMBER = r"[0-9.e+-]+"
SAMPLE = re.compile(rf'[a-z_]+\{{([a-z]+="(?:[^"\\\n]|\\.)*",?)+\}} {NUMBER}')


def test_calls_are_counted_and_timed_by_verb_and_error() -> None:
    given, _, _clock = components()
    below = failing(
        given,
        Fault("read", on=1, delay_s=0.3),
        Fault("read", on=2, error=ConnectionLost("secret")),
        Fault("commit", on=2, error=KeyboardInterrupt()),  # type: ignore[arg-type]
    )
    mine = Measurements()
    layer = Metrics(into=mine, meter=False)(below)
    drive(layer.read([b"secret"]))
    with pytest.raises(ConnectionLost):
        drive(layer.read([b"secret"]))
    drive(layer.commit(Batch([Put(b"secret", b"secret")])))
    with pytest.raises(KeyboardInterrupt):
        drive(layer.commit(Batch([Put(b"secret", b"secret")])))
    with pytest.raises(ZeroDivisionError):
        drive(layer.transact([], lambda *_: 1 // 0))  # type: ignore[arg-type]
    measured = mine.measured()
    reads = measured["memory", "read"]
    assert reads.calls == 2
    assert reads.took_s == pytest.approx(0.3)
    assert reads.errors == {"CONNECTION_LOST": 1}
    assert reads.buckets[BOUNDARIES.index(0.5)] == 1
    assert measured["memory", "commit"].errors == {"INTERRUPTED": 1}
    assert measured["memory", "transact"].errors == {"OTHER": 1}
    assert "secret" not in mine.prometheus()


def test_calls_without_a_coroutine_are_counted_and_stay() -> None:
    given, _, _ = components()
    mine = Measurements()
    layer = opened(Metrics(into=mine, meter=False)(MemoryEngine(MemoryConfig(), given)))
    assert layer.transact_now is not None
    layer.transact_now([b"k"], lambda *_: Batch([Put(b"k", b"1")]))
    assert layer.peek is not None
    assert layer.peek(b"k") == (b"1", 1)
    assert layer.peek_page is not None
    layer.peek_page(Range())
    with pytest.raises(ZeroDivisionError):
        layer.transact_now([], lambda *_: 1 // 0)  # type: ignore[arg-type]
    calls = {verb: one.calls for (_, verb), one in mine.measured().items()}
    assert calls == {"open": 1, "read": 1, "scan": 1, "transact": 2}
    assert mine.measured()["memory", "transact"].errors == {"OTHER": 1}


def test_the_text_for_prometheus_is_in_its_format() -> None:
    mine = Measurements()
    mine.add('an "odd\\name"\n', "read", 0.002)
    for took_s in (0.00005, 0.0001, 3.0, 100.0):
        mine.add("lmdb", "read", took_s)
    mine.add("lmdb", "commit", 0.01, "STORAGE_FULL")
    text = mine.prometheus()
    assert text.endswith("\n")
    for line in text.splitlines():
        assert SAMPLE.fullmatch(line) or re.match(r"# (HELP|TYPE) [a-z_]+ ", line), line
    name = "holdfast_engine_operation"
    labels = 'engine="lmdb",operation="read"'
    for sample in (
        f'{name}_duration_seconds_bucket{{{labels},le="0.0001"}} 2',
        f'{name}_duration_seconds_bucket{{{labels},le="5.0"}} 3',
        f'{name}_duration_seconds_bucket{{{labels},le="+Inf"}} 4',
        f"{name}_duration_seconds_count{{{labels}}} 4",
        f'{name}_errors_total{{engine="lmdb",operation="commit",code="STORAGE_FULL"}} 1',
    ):
        assert sample in text.splitlines()
    assert r'engine="an \"odd\\name\"\n"' in text
    assert text.count("# TYPE") == 2


def test_opentelemetry_gets_the_same() -> None:
    given, _, _ = components()
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    below = failing(given, Fault("read", on=1, error=ConnectionLost("secret")))
    layer = Metrics(into=Measurements(), meter=meter)(below)
    with pytest.raises(ConnectionLost):
        drive(layer.read([b"secret"]))
    drive(layer.head())
    data: Any = reader.get_metrics_data()
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    points = {point.attributes["db.operation.name"]: point for point in metric.data.data_points}
    assert points["read"].attributes["error.type"] == "CONNECTION_LOST"
    assert dict(points["head"].attributes) == {
        "db.system.name": "holdfast",
        "db.operation.name": "head",
        "holdfast.engine": "memory",
    }
    assert points["head"].count == 1
    assert "secret" not in str(data.to_json())


@pytest.mark.parametrize("error", [RuntimeError("secret"), StopIteration("secret")])
def test_a_meter_that_raises_fails_no_call(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def create_histogram(self, *_: Any, **__: Any) -> Broken:
            return self

        def record(self, *_: Any) -> None:
            raise error

    given, _, _ = components()
    mine = Measurements()
    below = failing(given, Fault("read", on=1, error=ConnectionLost("planned")))
    layer = Metrics(into=mine, meter=Broken())(below)
    with pytest.raises(ConnectionLost):
        drive(layer.read([b"k"]))
    assert drive(layer.commit(Batch([Put(b"k", b"1")]))).revision == 1
    assert mine.measured()["memory", "commit"].calls == 1
    [warning] = caplog.messages
    assert "go to the meter no more" in warning
    assert "secret" not in warning


def test_threads_lose_no_count_and_a_child_goes_on() -> None:
    mine = Measurements()

    def add() -> None:
        for _ in range(500):
            mine.add("memory", "read", 0.001)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if child == 0:
        mine.add("memory", "head", 0.0)
        os._exit(0 if ("memory", "head") in mine.measured() else 1)
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert mine.measured()["memory", "read"].calls == 2000


def test_its_name_measures_for_the_process() -> None:
    given, _, _ = components()
    layer = stack(MemoryEngine(MemoryConfig(), given), "metrics")
    assert isinstance(layer, MetricsLayer)
    assert layer.settings.into is PROCESS
    before = PROCESS.measured().get(("memory", "head"))
    drive(layer.open())
    drive(layer.head())
    after = PROCESS.measured()["memory", "head"]
    assert after.calls == (before.calls if before else 0) + 1
    with pytest.raises(ConfigInvalid, match="takes no settings"):
        stack(MemoryEngine(MemoryConfig(), given), "metrics:into=x")
