"""Examples: numbered, short, and each runs to its end in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.tidy import repository

FOLDER = repository.ROOT / "examples"
LINES_MAX = 100
SECONDS_MAX = 50


def numbered() -> list[Path]:
    return sorted(FOLDER.glob("*.py"))


def test_names_count_from_one() -> None:
    numbers = [re.match(r"(\d\d)_[a-z_]+\.py$", path.name) for path in numbered()]
    assert all(numbers), "an example is called like 01_first_steps.py"
    assert numbers, "there are no examples"
    assert [int(match[1]) for match in numbers if match] == list(range(1, len(numbers) + 1))


def test_they_are_short() -> None:
    long = [path.name for path in numbered() if len(path.read_text().splitlines()) > LINES_MAX]
    assert not long


def test_each_runs_to_its_end(tmp_path: Path) -> None:
    for path in numbered():
        folder = tmp_path / path.stem
        folder.mkdir()
        result = subprocess.run(
            [sys.executable, "-W", "error", str(path)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(repository.SOURCE)},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert result.returncode == 0, f"{path.name}\n{result.stdout}\n{result.stderr}"
        assert result.stdout, f"{path.name} shows nothing"
