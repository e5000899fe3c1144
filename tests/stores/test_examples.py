"""The examples of stores: each prints on every engine what was committed beside it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository

FOLDER = repository.ROOT / "examples" / "store"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.py"))
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
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository.SOURCE), "HOLDFAST_URL": url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == (FOLDER / "output" / f"{path.stem}.txt").read_text()
