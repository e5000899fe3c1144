"""Rows of measuring: one command tells rates, percentiles and resources of each engine."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.store.scene import ENGINES
from tests.tidy import repository


def bench(engine: str) -> dict[str, Any]:
    """What `holdfast bench` tells of an engine, in a process of its own."""
    command = [sys.executable, "-m", "holdfast", "bench", "--engine", engine]
    done = subprocess.run(
        [*command, "--seconds", "0.1", "--json"],
        env=os.environ | {"PYTHONPATH": str(repository.ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["engine"] == engine
    return document


@pytest.mark.row("E-122", "E-123")
@pytest.mark.parametrize("engine", ENGINES)
def test_percentiles_and_resources_are_measured(engine: str) -> None:
    document = bench(engine)
    measures = {measure["name"]: measure for measure in document["measures"]}
    for name in ("get with its value", "set, one by one", "commit of 10 writes"):
        measure = measures[name]
        assert 0 < measure["p50_microseconds"] <= measure["p99_microseconds"] < 5e7
        assert measure["per_second"] > 0
    get, commit = measures["get with its value"], measures["commit of 10 writes"]
    assert get["p50_microseconds"] < commit["p50_microseconds"]
    resources = document["resources"]
    assert 0.05 < resources["processor_seconds"] < 50
    assert 10_000_000 < resources["memory_bytes"] < 2_000_000_000
    if engine == "memory":
        assert resources["disk_bytes"] == 0
    else:
        # A thousand values of a thousand bytes, and their past.
        assert 1_000_000 < resources["disk_bytes"] < 2_000_000_000
