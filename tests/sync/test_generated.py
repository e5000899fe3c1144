"""The generated module: fresh, with the signatures of the async handles, and light."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
import holdfast.sync
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.scope import EntryScope
from holdfast.store.versions.retention import Retention
from tests.tidy import repository

PAIRS = [
    (holdfast.Database, holdfast.sync.Database),
    (KeyValueStoreInterface, holdfast.sync.KeyValueStore),
    (EntryScope, holdfast.sync.EntryScope),
    (holdfast.Transaction, holdfast.sync.Transaction),
    (holdfast.SnapshotView, holdfast.sync.SnapshotView),
    (Retention, holdfast.sync.Retention),
    (holdfast.Watch, holdfast.sync.Watch),
]
RENAMED = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
}
# A sync handle is not awaited; each has its own way to be made.
ASYNC_ONLY = {"__await__", "__del__", "__init__", "peek", "write_now"}
SYNC_ONLY = {"Watch": {"poll"}}


def members(cls: type) -> dict[str, object]:
    return {
        name: member
        for owner in reversed(cls.__mro__)
        if owner.__module__.startswith("holdfast")
        for name, member in vars(owner).items()
        if isinstance(member, property) or inspect.isfunction(member)
        if not re.match(r"_(?!_)", name) and name not in ASYNC_ONLY
    }


def parameters(function: object) -> list[tuple[str, object, object]]:
    assert inspect.isfunction(function)
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found]


@pytest.mark.parametrize(("handle", "twin"), PAIRS)
def test_twins_have_the_signatures_of_their_handles(handle: type, twin: type) -> None:
    theirs = {RENAMED.get(name, name): member for name, member in members(handle).items()}
    ours = members(twin)
    listed = set(vars(twin).get("__annotations__", ()))
    for name, member in theirs.items():
        if isinstance(member, property):
            assert isinstance(ours[name], property), name
        else:
            assert parameters(ours[name]) == parameters(member), name
            assert not inspect.iscoroutinefunction(ours[name]), name
    only_here = ours.keys() - theirs.keys() - SYNC_ONLY.get(twin.__name__, set()) - listed
    # What is left are the attributes that the handle sets when it is made.
    assert all(isinstance(ours[name], property) for name in only_here), only_here


def test_the_function_that_opens_has_the_same_signature() -> None:
    assert parameters(holdfast.sync.open) == parameters(holdfast.open)


def test_docstrings_speak_of_plain_calls() -> None:
    for _, twin in PAIRS:
        for name, member in [("", twin), *members(twin).items()]:
            text = inspect.getdoc(member) or ""
            assert not re.search(r"\b(await|async|asynchronous)\b", text), f"{twin}.{name}: {text}"


def make_sync(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.make_sync", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def test_the_module_is_what_its_sources_say() -> None:
    result = make_sync(repository.ROOT, "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_changed_source_is_noticed_and_taken_over(tmp_path: Path) -> None:
    for folder in ("src", "tools"):
        shutil.copytree(repository.ROOT / folder, tmp_path / folder)
    shutil.copy(repository.ROOT / "pyproject.toml", tmp_path)
    views = tmp_path / "src" / "holdfast" / "database" / "transaction.py"
    source = views.read_text()
    assert source.count("async def rollback(self) -> None:") == 1
    views.write_text(
        source.replace(
            "async def rollback(self) -> None:",
            "async def rollback(self, *, why: str = 'asked') -> None:",
        )
    )
    stale = make_sync(tmp_path, "--check")
    assert stale.returncode == 1
    assert "make sync" in stale.stdout
    assert make_sync(tmp_path).returncode == 0
    assert make_sync(tmp_path, "--check").returncode == 0
    written = (tmp_path / "src" / "holdfast" / "sync" / "moments.py").read_text()
    assert 'def rollback(self, *, why: str = "asked") -> None:' in written
    assert "drive(self._inner.rollback(why=why))" in written


def test_importing_it_loads_nothing_that_holdfast_does_not() -> None:
    script = (
        "import sys, holdfast; before = set(sys.modules); import holdfast.sync;"
        "print(sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=170, check=True
    )
    loaded = ast.literal_eval(result.stdout)
    assert {name for name in loaded if not name.startswith("holdfast.sync")} == set()
