"""No room, as an application meets it: nothing acknowledged is lost and nothing is half written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.crash.harness import environment
from tests.crash.test_kills import Mode, every_mode

#: No multiple of anything that an engine counts in.
FILE_BYTES_MAX = 6_000_000


def run_full(folder: Path, mode: Mode, limit: int, *before: str) -> None:
    command = [sys.executable, "-m", "tests.crash.full", mode.url(folder), str(limit)]
    answer = subprocess.run(
        [*before, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        env=environment(),
        check=False,
    )
    assert answer.stdout == "kept every promise\n", answer.stderr


@pytest.mark.row("K-022", "I-108")
@every_mode
@needs.file_size_limit
def test_the_largest_file_a_process_may_make(tmp_path: Path, mode: Mode) -> None:
    run_full(tmp_path, mode, FILE_BYTES_MAX)


@pytest.mark.row("K-022", "I-108")
@every_mode
@needs.private_mounts
def test_a_small_medium(tmp_path: Path, mode: Mode) -> None:
    mount = 'mount -t tmpfs -o size=12m none "$1" && cd "$1" && shift && exec "$@"'
    before = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path))
    run_full(tmp_path, mode, 0, *before)
