"""The four points of extension, as the template of an engine shows them, work from outside."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import ConfigInvalid, ValueTooLarge
from holdfast.runtime.system import system_components
from holdfast.testing import EngineContract
from tests.tidy.repository import ROOT

TEMPLATE = ROOT / "examples/holdfast-engine-template"
README = (TEMPLATE / "README.md").read_text()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The template's package, registered as its pyproject says."""
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    registered = tmp_path / f"holdfast_dict-{project['version']}.dist-info"
    registered.mkdir()
    (registered / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (registered / "entry_points.txt").write_text("\n".join(groups))
    for folder in (TEMPLATE / "src", tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield importlib.import_module("holdfast_dict")
    for name in [name for name in sys.modules if name.partition(".")[0] == "holdfast_dict"]:
        del sys.modules[name]


@pytest.mark.row("E-112")
def test_an_engine_from_outside_is_opened_by_its_url(installed: Any) -> None:
    assert "`src/holdfast_dict/engine.py`" in README

    async def use() -> None:
        async with holdfast.open("dict://") as db:
            await db.entries.set("a:1", {"n": 1}, tags=["x"])
            await db.collection("c").set("k", {"n": 2})
            assert (await db.entries.require("a:1")).value == {"n": 1}
            assert await db.check() == []
            assert db.capabilities.engine == "dict"

    asyncio.run(use())


@pytest.mark.row("E-112")
def test_a_configuration_option_is_read_from_the_url_and_checked(installed: Any) -> None:
    assert "`src/holdfast_dict/config.py`" in README
    config = holdfast.read_config("dict://?page_rows=7")
    assert config == installed.DictConfig(page_rows=7)
    assert installed.DictEngine(config, system_components()).capabilities.page_rows_max == 7
    for url in ("dict://?page_rows=0", "dict://?page_rows=many", "dict://?pages=1"):
        with pytest.raises(ConfigInvalid):
            holdfast.read_config(url)


@pytest.mark.row("E-112")
def test_a_capability_that_a_layer_changes_is_kept(installed: Any) -> None:
    assert "`src/holdfast_dict/layer.py`" in README

    async def use() -> None:
        async with holdfast.open("dict://?layers=small_values") as db:
            most = installed.layer.VALUE_BYTES_MAX
            assert db.capabilities.value_bytes_max == most
            store = await db.stores.create("ledger")
            await store.set(b"fits", b"x" * (most - 100))
            engine = db._open_engine()
            for large in (b"x" * (most + 1), b"x" * 200_000):
                with pytest.raises(ValueTooLarge, match="at most 65536 bytes"):
                    await engine.commit(batch_of(large))
            assert await db.check() == []

    asyncio.run(use())


def batch_of(value: bytes) -> Any:
    from holdfast.contract.batch import Batch, Put

    return Batch([Put(b"K\0\0\0\1Dkey", value)])


@pytest.mark.row("E-112")
def test_a_handler_sees_every_write_whatever_call_made_it(installed: Any) -> None:
    assert "`src/holdfast_dict/handlers.py`" in README

    async def use() -> None:
        async with holdfast.open("dict://") as db:
            entries = installed.Stamped(db.entries, "importer")
            await entries.set("a:1", 1)
            await entries.set("a:2", 1, modified_by="ada")
            await entries.modify("a:1", lambda value: value + 1)
            await entries.set_many({"a:3": 3})
            await entries.rename("a:3", "a:4")
            found = {
                key: (await db.entries.require(key)).metadata.modified_by
                for key in ("a:1", "a:2", "a:4")
            }
            assert found == {"a:1": "importer", "a:2": "ada", "a:4": "importer"}

    asyncio.run(use())


@pytest.mark.row("E-112")
def test_the_template_passes_the_contract_suite_that_it_comes_with() -> None:
    path = os.pathsep.join([str(TEMPLATE / "src"), str(ROOT / "src")])
    result = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
            "-c", "/dev/null", "--rootdir", str(TEMPLATE), str(TEMPLATE / "tests"),
        ],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    promises = sum(name.startswith("test_") for name in dir(EngineContract))
    assert int(passed[1]) >= promises > 100


def test_the_readme_names_every_file_of_the_template() -> None:
    named = set(re.findall(r"`((?:src|tests)/[\w/]+\.py|pyproject\.toml)`", README))
    there = {
        str(path.relative_to(TEMPLATE))
        for path in TEMPLATE.rglob("*")
        if path.suffix in (".py", ".toml") and path.name != "__init__.py"
    }
    assert named == there
