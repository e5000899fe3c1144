"""The pages on configuration and on milestones name what is there, all of it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import holdfast
from benchmarks.__main__ import WORKLOADS
from holdfast.contract.config import EngineConfig
from holdfast.store.registry import engine_names
from tests.tidy.repository import ROOT
from tools.configuration_page import DECISION, TIPS, capabilities_of, judged, settings

PAGE = (ROOT / "docs/configuration.md").read_text()
ROADMAP = (ROOT / "ROADMAP.md").read_text()
#: Classes that are settings of nothing that a user configures.
NO_SETTINGS = {"OldConfig"}


def config_classes() -> Iterator[type[Any]]:
    """Every class of settings in the package."""
    for found in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
        if found.name.endswith("__main__") or found.name.startswith("holdfast.adapters"):
            continue
        for name, kind in vars(importlib.import_module(found.name)).items():
            if not isinstance(kind, type) or name in NO_SETTINGS:
                continue
            if name.endswith(("Config", "Limits")) and kind.__module__ == found.name:
                yield kind


def sections(page: str) -> dict[str, str]:
    """What stands under each heading of the third level."""
    parts = re.split(r"^### `?(\w+)`?$", page, flags=re.MULTILINE)
    return {
        name: text.partition("\n## ")[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.row("E-091")
def test_every_key_of_every_configuration_is_on_the_page() -> None:
    classes = [
        kind for kind in config_classes()
        if dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)
    ]  # fmt: skip
    assert {"LmdbConfig", "StoreConfig", "MultiStoreConfig", "MemoryConfig"} <= {
        one.__name__ for one in classes
    }
    there = sections(PAGE)
    for kind in classes:
        scheme = getattr(kind, "scheme", None)
        if issubclass(kind, EngineConfig) and scheme is None:
            continue  # A base: its settings are those of the engines below it.
        text = there[kind.__name__ if scheme is None else str(scheme)]
        for name in settings(kind):
            row = re.search(rf"^\| `{name}` \| .+ \| (.*) \|$", text, re.MULTILINE)
            assert row is not None, (kind, name)
            assert row[1], f"{kind.__name__}.{name} has no meaning; its docstring should say one"


@pytest.mark.row("E-136")
def test_every_registered_engine_is_compared_and_its_settings_are_listed() -> None:
    for name in engine_names():
        row = re.search(rf"^\| `{name}` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
        assert row is not None, name
        pros, cons = judged(capabilities_of(name))
        assert row[2].split("; ") == pros != []
        assert row[3] == ("; ".join(cons) or "-")
        assert f"### `{name}`" in PAGE
    for _, choice in DECISION:
        names = re.findall(r"`([a-z]+)`", choice)
        assert names
        assert set(names) <= set(engine_names())


@pytest.mark.row("E-137")
def test_every_tip_names_a_workload_that_exists() -> None:
    assert set(TIPS) == {"Throughput", "Latency", "Memory", "Disk"}
    for name, tips in TIPS.items():
        assert tips, name
        for tip, found, workload in tips:
            assert workload in WORKLOADS, tip
            assert tip in PAGE
            assert found in PAGE
            assert f"| [`{workload}`](benchmarks.md#workloads) |" in PAGE


def rows_below(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of the roadmap, as cells."""
    text = ROADMAP.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return rows[1:]


def require_paths(cell: str) -> list[str]:
    """The paths that a cell names, all of which are there."""
    paths = [one for one in re.findall(r"`([^`]+)`", cell) if "/" in one or (ROOT / one).exists()]
    for path in paths:
        assert (ROOT / path).exists(), path
    return paths


@pytest.mark.row("E-007")
def test_every_milestone_names_modules_and_tests_that_exist() -> None:
    rows = rows_below("The milestones of the storage design")
    assert [row[0] for row in rows] == [f"M{number}" for number in range(1, 7)]
    for _, _, modules, tests in rows:
        assert require_paths(modules)
        assert require_paths(tests)
    by_name = {row[0]: row[2] for row in rows}
    assert "stores/iavl" in by_name["M3"]


@pytest.mark.row("E-135")
def test_everything_that_was_deferred_names_what_stands_in_its_place() -> None:
    rows = rows_below("Deferred there, delivered here")
    assert [row[0].split()[0] for row in rows] == ["file-based", "basic", "LevelDB", "Badger"]
    for _, phase, place, tests in rows:
        assert phase in ("2", "3")
        assert require_paths(place)
        assert require_paths(tests)
