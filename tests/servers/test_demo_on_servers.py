"""The demo runs on servers as it runs on files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.processes import executable
from tests.tidy import repository


def test_the_demo_on_redis(tmp_path: Path) -> None:
    verifies_everything("redis", tmp_path)


def test_the_demo_on_postgres(tmp_path: Path) -> None:
    verifies_everything("postgres", tmp_path)


def verifies_everything(engine: str, folder: Path) -> None:
    executable({"redis": "redis-server", "postgres": "initdb"}[engine])  # Or it is said here.
    demo = [sys.executable, "-m", "examples.demo", "--cities", "300", "--changes", "20"]
    path = os.pathsep.join((str(repository.SOURCE), str(repository.ROOT)))
    result = subprocess.run(
        [sys.executable, "-m", "tests.servers", engine, *demo, "--url", "{url}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All as it must be" in result.stdout
    assert "kill -9" in result.stdout
    assert "✗" not in result.stdout
    assert not result.stderr
