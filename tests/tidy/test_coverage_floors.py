"""The gate on coverage, tried on a small package of the same shape."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository
from tools import coverage_floors

BRANCHES = "def choose(flag):\n    if flag:\n        return 1\n    return 2\n"


def run(folder: Path, calls: str) -> subprocess.CompletedProcess[str]:
    """Cover `calls` of one module per floor, then hold the gate over it."""
    for floor in (*coverage_floors.FLOORS, "cli"):
        package = folder / "src" / "holdfast" / floor
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(BRANCHES)
    # Not gated, and not covered: must not matter.
    (folder / "src/holdfast/cli/__init__.py").write_text(BRANCHES.replace("choose", "unused"))
    (folder / "src/holdfast/__init__.py").write_text("")
    (folder / "calls.py").write_text(
        "import importlib\n"
        f"for floor in {coverage_floors.FLOORS!r}:\n"
        "    choose = importlib.import_module('holdfast.' + floor).choose\n"
        f"    {calls}\n"
        "import holdfast.cli\n"
    )
    shutil.copy(repository.ROOT / "pyproject.toml", folder)
    # What measures this test must not measure the small run too.
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("COV")}
    environment = inherited | {"PYTHONPATH": str(folder / "src")}
    coverage = [sys.executable, "-m", "coverage", "run", "calls.py"]
    subprocess.run(coverage, cwd=folder, env=environment, check=True, timeout=120)
    return subprocess.run(
        [sys.executable, str(repository.ROOT / "tools" / "coverage_floors.py")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.row("E-002")
def test_covered_floors_pass(tmp_path: Path) -> None:
    result = run(tmp_path, "choose(True), choose(False)")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "contract      100.0%    100.0%" in result.stdout


@pytest.mark.row("E-002")
def test_a_missing_branch_fails(tmp_path: Path) -> None:
    result = run(tmp_path, "choose(True)")
    assert result.returncode == 1
    assert "contract       75.0%     50.0%  BELOW THE GATE" in result.stdout
    assert "cli            25.0%      0.0%  no gate" in result.stdout


def test_an_unmeasured_floor_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_floors, "measure", dict)
    assert coverage_floors.main() == 1
