"""Floors: the checks of pyproject.toml hold for the code, and catch what they are there for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        # The copy in the folder, before any installed one.
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.row("E-057", "K-051")
def test_imports_only_go_down() -> None:
    result = lint_imports(repository.ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "imports", "complaint"),
    [
        ("contract/upward.py", "holdfast.store", "holdfast.contract.upward -> holdfast.store"),
        ("contract/driver.py", "msgspec", "holdfast.contract.driver -> msgspec"),
        ("engines/embedded/up.py", "holdfast.engines.memory", "-> holdfast.engines.memory"),
        ("engines/unlisted.py", "json", "holdfast.engines.unlisted"),
        (
            "records/extended.py",
            "holdfast.records.decorators.evented",
            "holdfast.records.extended -> holdfast.records.decorators.evented",
        ),
        ("store/loop.py", "asyncio", "holdfast.store.loop -> asyncio"),
        ("stores/loop.py", "asyncio", "holdfast.stores.loop -> asyncio"),
        ("documents/loop.py", "asyncio", "holdfast.documents.loop -> asyncio"),
        ("unlisted.py", "json", "holdfast.unlisted"),
    ],
)
@pytest.mark.row("E-057", "K-051")
def test_a_wrong_import_is_named(tmp_path: Path, module: str, imports: str, complaint: str) -> None:
    shutil.copytree(repository.SOURCE, tmp_path / "src")
    shutil.copy(repository.ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src" / "holdfast" / module).write_text(f"import {imports}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert complaint in result.stdout


def test_a_circle_is_named(tmp_path: Path) -> None:
    shutil.copytree(repository.SOURCE, tmp_path / "src")
    shutil.copy(repository.ROOT / "pyproject.toml", tmp_path)
    for one, other in (("ping", "pong"), ("pong", "ping")):
        module = tmp_path / "src" / "holdfast" / "store" / f"{one}.py"
        module.write_text(f"import holdfast.store.{other}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "No cycles are allowed in holdfast.store." in result.stdout
