"""Somebody else's engine, in a project that has only pytest and hypothesis, uses the suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import toy

PROJECT = """
from dataclasses import dataclass
from typing import ClassVar

import pytest
from holdfast.contract.config import EngineConfig
from holdfast.testing import EngineContract
from toy import ToyEngine


@dataclass(frozen=True, kw_only=True)
class ToyConfig(EngineConfig):
    scheme: ClassVar[str] = "toy"


class TestToy(EngineContract):
    engine_type = ToyEngine

    def make_config(self, folder):
        return ToyConfig()
"""


def run_pytest(folder: Path, promises: str) -> subprocess.CompletedProcess[str]:
    """Run some promises the strict way, with no plug-in and no marker of ours."""
    source = Path(__file__).parents[2] / "src"
    options = ["-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-k", promises]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(source),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(Path(toy.__file__).read_text())
    (tmp_path / "test_toy.py").write_text(PROJECT)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.row("E-062")
def test_a_project_of_its_own_proves_its_engine(project: Path) -> None:
    # Some of each kind are enough: the whole suite runs on the toy elsewhere.
    run = run_pytest(project, "absent or range or process or history")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout


def test_a_broken_promise_is_named_and_explained(project: Path) -> None:
    sound = (project / "toy.py").read_text()
    broken = sound.replace("reverse=range.reverse)", "reverse=True)")
    assert broken != sound
    (project / "toy.py").write_text(broken)
    run = run_pytest(project, "range")
    assert run.returncode == 1
    assert "test_ranges_between_long_keys_are_exact" in run.stdout
    # The comparison that failed is shown with what both sides were.
    assert "keys come in byte order, each once" in run.stdout
