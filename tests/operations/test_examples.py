"""The examples of operations and of migration: each prints what was committed beside it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository

FOLDERS = [repository.ROOT / "examples" / name for name in ("operations", "migration")]
EXAMPLES = [path for folder in FOLDERS for path in sorted(folder.glob("[0-9]*.py"))]
LINES_MAX = 60
ROWS = {
    "01_backup": ["E-134"],
    "02_standby": ["E-133"],
    "03_shipping": ["E-133", "E-134"],
    "04_care": ["E-092"],
    "01_copy": ["E-090"],
    "02_shadow": ["E-090"],
}


def test_they_are_numbered_and_short() -> None:
    assert {path.stem for path in EXAMPLES} == set(ROWS)
    for folder in FOLDERS:
        stems = [path.stem for path in sorted(folder.glob("[0-9]*.py"))]
        assert [int(stem[:2]) for stem in stems] == list(range(1, len(stems) + 1))
        assert {path.stem for path in (folder / "output").glob("*.txt")} == set(stems)
    for path in EXAMPLES:
        assert re.match(r"\d\d_[a-z_]+\.py$", path.name)
        assert len(path.read_text().splitlines()) <= LINES_MAX, path.name


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(one, marks=[pytest.mark.row(row) for row in ROWS[one.stem]], id=one.stem)
        for one in EXAMPLES
    ],
)
def test_each_prints_what_was_committed(tmp_path: Path, path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository.SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == (path.parent / "output" / f"{path.stem}.txt").read_text()
