"""The dashboard asks for metrics, labels and operations that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Histogram

from holdfast.contract.errors import StoreError
from holdfast.state import MockStoreAdapter, StoreBuilder
from holdfast.state.telemetry import OPERATIONS as REGISTERED
from tests.state.conftest import run
from tests.state.operations import OPERATIONS
from tests.state.test_open_telemetry import Collector
from tests.tidy import repository

PATH = repository.ROOT / "docs/dashboards/holdfast-state.json"
#: What Prometheus makes of a unit in a name.
UNITS = {"s": "_seconds", "": ""}
#: Labels that Prometheus itself gives to buckets.
OF_PROMETHEUS = {"le"}


def named(text: str) -> str:
    """A name of OpenTelemetry in Prometheus."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", text)


def told() -> dict[str, set[str]]:
    """The series that all operations make, with the names of their labels."""
    collector = Collector()

    async def main() -> None:
        for name, work in OPERATIONS.items():
            if name == "group.consume":
                continue  # It goes on until it is stopped.
            builder = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("api")
            await work(builder.with_telemetry(collector.telemetry).build())
        adapter = MockStoreAdapter()
        adapter.fail("get", OSError())
        builder = StoreBuilder.create().with_adapter(adapter).with_service("api")
        with pytest.raises(StoreError):
            await builder.with_telemetry(collector.telemetry).build().kv.get("a")

    run(main())
    series: dict[str, set[str]] = {}
    data: Any = collector.reader.get_metrics_data()
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                base = named(metric.name) + UNITS[metric.unit]
                histogram = isinstance(metric.data, Histogram)
                for ending in ("_bucket", "_count", "_sum") if histogram else ("_total",):
                    labels = series.setdefault(base + ending, set())
                    for point in metric.data.data_points:
                        labels.update(map(named, point.attributes))
    return series


def queries() -> list[str]:
    dashboard = json.loads(PATH.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [
        one["definition"] for one in dashboard["templating"]["list"] if one["type"] == "query"
    ]


@pytest.mark.row("D-007", "D-103")
def test_each_query_asks_for_what_is_told() -> None:
    series = told()
    assert len(queries()) >= 15
    asked_for = set()
    for query in queries():
        names = set(re.findall(r"\b(?:db_client|holdfast)_\w+(?=[{,\[])", query)) - {
            "holdfast_found"
        }
        assert names, query
        assert names <= series.keys(), query
        asked_for |= names
        known = set().union(*(series[name] for name in names)) | OF_PROMETHEUS
        filters = {
            one
            for inner in re.findall(r"\{(.*?)\}", query)
            for one in re.findall(r"(\w+)!?=", inner)
        }
        grouped = {
            one.strip() for inner in re.findall(r"by \((.*?)\)", query) for one in inner.split(",")
        }
        listed = set(re.findall(r"label_values\(.*, (\w+)\)", query))
        assert filters | grouped | listed <= known, query
        for operation in re.findall(r'db_operation_name=~"([^"]+)"', query):
            assert set(operation.split("|")) <= REGISTERED.keys(), query
    # Nothing that is measured is left unseen.
    assert asked_for == series.keys()


def test_it_is_a_dashboard_whose_panels_do_not_overlap() -> None:
    dashboard = json.loads(PATH.read_text())
    taken: set[tuple[int, int]] = set()
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    for panel in panels:
        assert panel["description"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert panel["datasource"]["uid"] == "${source}"
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"]))
            assert used <= variables | {"__rate_interval", "__range"}
