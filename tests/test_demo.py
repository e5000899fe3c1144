"""The demo runs to its end, on every engine, and notices when something is not as it must be."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository

SECONDS_MAX = 50


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m examples.demo` in an empty folder, with fewer cities to save time."""
    path = os.pathsep.join((str(repository.SOURCE), str(repository.ROOT)))
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", "--cities", "2500", "--changes", "40", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.mark.parametrize("url", [None, "sqlite:///demo-data/cities.db"], ids=["lmdb", "sqlite"])
def test_it_verifies_everything_after_a_kill(tmp_path: Path, url: str | None) -> None:
    arguments = [] if url is None else ["--url", url]
    result = run_demo(tmp_path, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All as it must be" in result.stdout
    assert "kill -9" in result.stdout
    assert "✗" not in result.stdout
    assert not result.stderr


def test_the_database_stays_and_the_next_run_starts_over(tmp_path: Path) -> None:
    assert run_demo(tmp_path).returncode == 0
    [url] = re.findall(r"export HOLDFAST_URL=(\S+)", (repository.ROOT / "README.md").read_text())
    shown = subprocess.run(
        [sys.executable, "-m", "holdfast", "history", "cities/JP:1850147", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository.SOURCE), "HOLDFAST_URL": url},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    assert len(shown.stdout.splitlines()) >= 3
    again = run_demo(tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize("engine", ["file", "rocksdb", "leveldb"])
def test_an_engine_of_one_process_is_killed_while_it_has_the_database_alone(
    tmp_path: Path, engine: str
) -> None:
    result = run_demo(tmp_path, "--url", f"{engine}:///demo-data/cities")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All as it must be" in result.stdout
    assert "another process opens the database" in result.stdout
    assert "kill -9" in result.stdout
    assert "✗" not in result.stdout
    assert not result.stderr


def test_in_memory_a_task_writes_instead(tmp_path: Path) -> None:
    result = run_demo(tmp_path, "--url", "memory://")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "one process" in result.stdout
    assert not list(tmp_path.iterdir())


def test_it_touches_nothing_outside_its_folder(tmp_path: Path) -> None:
    precious = tmp_path / "precious.db"
    precious.write_bytes(b"precious")
    result = run_demo(tmp_path, "--url", "sqlite:///precious.db")
    assert result.returncode == 1
    assert "demo-data/" in result.stderr
    assert precious.read_bytes() == b"precious"


def test_a_mismatch_ends_it_with_another_code(tmp_path: Path) -> None:
    # The data says something else than what was stored: a store that lies looks just like that.
    (tmp_path / "sitecustomize.py").write_text(
        "import holdfast.codecs.digest as codec\n"
        "right = codec.digest\n"
        "import holdfast\n"
        "holdfast.digest = lambda value: right([value])\n"
    )
    path = os.pathsep.join((str(tmp_path), str(repository.SOURCE), str(repository.ROOT)))
    folder = tmp_path / "here"
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--cities", "1500", "--url", "memory://"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "✗ 1,500, wanted 0" in result.stdout
    assert "not as they must be" in result.stdout
