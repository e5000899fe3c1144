"""The examples of stores: each prints on every engine what was committed beside it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.fixtures import postgres_address, redis_address
from tests.tidy import repository

__all__ = ["postgres_address", "redis_address"]

FOLDER = repository.ROOT / "examples" / "store"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.py"))
#: The one that is for every engine; where servers keep its data.
ON_ALL = FOLDER / "08_seven_urls.py"
URLS = {
    "redis": "redis://127.0.0.1:{port}?prefix=seven-urls",
    "postgres": "postgres://postgres@127.0.0.1:{port}/postgres?schema=seven_urls",
}
LINES_MAX = 60
#: Which open the database twice, so that it has to be kept.
KEPT = {"04_multistore"}
ROWS = {
    "01_basic": ["E-125", "E-089"],
    "02_transactions": ["E-126", "E-089"],
    "03_versions": ["E-125", "E-089"],
    "04_multistore": ["E-089"],
    "05_events": ["E-126"],
    "06_history": [],
    "07_custom": ["E-126"],
    "08_seven_urls": ["E-089"],
}


def test_they_are_numbered_and_short() -> None:
    assert [path.stem for path in EXAMPLES] == list(ROWS)
    for path in EXAMPLES:
        assert re.match(r"\d\d_[a-z_]+\.py$", path.name)
        assert len(path.read_text().splitlines()) <= LINES_MAX, path.name
    outputs = {path.stem for path in (FOLDER / "output").glob("*.txt")}
    assert outputs == set(ROWS)


@pytest.mark.parametrize("engine", ["memory", "lmdb", "sqlite"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(one, marks=[pytest.mark.row(row) for row in ROWS[one.stem]], id=one.stem)
        for one in EXAMPLES
    ],
)
def test_each_prints_what_was_committed(tmp_path: Path, path: Path, engine: str) -> None:
    if engine == "memory" and path.stem in KEPT:
        engine = "sqlite"
    url = "memory://" if engine == "memory" else f"{engine}:///example.db"
    assert printed(path, url, tmp_path) == committed(path)


@pytest.mark.parametrize("engine", ["file", "rocksdb", "leveldb"])
def test_one_program_prints_the_same_on_the_other_engines(tmp_path: Path, engine: str) -> None:
    assert printed(ON_ALL, f"{engine}:///example", tmp_path) == committed(ON_ALL)


@pytest.mark.parametrize("engine", URLS)
def test_one_program_prints_the_same_on_servers(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    port = request.getfixturevalue(f"{engine}_address")["port"]
    assert printed(ON_ALL, URLS[engine].format(port=port), tmp_path) == committed(ON_ALL)


def committed(path: Path) -> str:
    return (FOLDER / "output" / f"{path.stem}.txt").read_text()


def printed(path: Path, url: str, folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository.SOURCE), "HOLDFAST_URL": url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
