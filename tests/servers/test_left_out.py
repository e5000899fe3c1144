"""A missing server fails its tests and says what to type; one that is left out skips them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import processes
from tests.servers.processes import ServerFailed, ServerLeftOut, executable
from tests.tidy import repository

#: One module of each kind: state, a view on the engine, a database of the contract suite.
MODULES = {
    "redis": ("tests/state/test_batch_scan.py", "tests/engines/redis/test_redis_scripts.py"),
    "postgres": ("tests/engines/postgres/test_postgres_function.py",),
}


@pytest.mark.parametrize("program", ["redis-server", "initdb", "postgres"])
def test_a_missing_server_names_the_command_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.delenv("HOLDFAST_WITHOUT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(processes, "_in_wheel", lambda: None)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    with pytest.raises(ServerFailed, match=r"Type: apt-get install .*HOLDFAST_WITHOUT=") as caught:
        executable(program)
    assert not isinstance(caught.value, ServerLeftOut)


def test_each_name_leaves_out_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in ("redis", "postgres"):
        monkeypatch.setenv("HOLDFAST_WITHOUT", f"another, {engine}")
        for program, (name, _) in processes.PROGRAMS.items():
            if name == engine:
                with pytest.raises(ServerLeftOut, match=f"HOLDFAST_WITHOUT names {engine}"):
                    executable(program)


@pytest.mark.parametrize("engine", MODULES)
def test_its_tests_are_skipped_and_the_reason_is_printed(engine: str, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider",
         f"--basetemp={tmp_path / 'run'}", *MODULES[engine]],
        cwd=repository.ROOT,
        env=repository.unmeasured() | {"HOLDFAST_WITHOUT": "redis,postgres", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"HOLDFAST_WITHOUT names {engine}" in found.stdout
    assert re.search(r"[1-9]\d* skipped", found.stdout)
