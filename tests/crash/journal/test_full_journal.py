"""No room beside a journal, and a loop beside one: the promises of every mode hold here too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import needs
from tests.crash.journal.modes import JOURNAL
from tests.crash.test_full_medium import run_full
from tests.crash.test_loop import FLUSH_S, assert_free, held_busy, tick
from tests.crash.ticker import COMMITS

#: Room for the journal at first, and no multiple of anything that an engine counts in.
FILE_BYTES_MAX = 9_000_000


@pytest.mark.torture
@pytest.mark.row("K-022", "I-108")
@needs.file_size_limit
def test_the_largest_file_a_process_may_make(tmp_path: Path) -> None:
    run_full(tmp_path, JOURNAL, FILE_BYTES_MAX)


@pytest.mark.row("K-022", "I-108")
@needs.private_mounts
def test_a_small_medium(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=16m none "$1" && cd "$1" && shift && exec "$@"'
    before = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path))
    run_full(tmp_path, JOURNAL, 0, *before)


@pytest.mark.row("trap 28")
def test_a_durable_commit_on_a_slow_disk(medium: Path, tmp_path: Path) -> None:
    slow = {"LD_PRELOAD": str(medium), "HOLDFAST_FLUSH_MS": str(round(FLUSH_S * 1000))}
    said = tick(JOURNAL, tmp_path, "commits", slow)
    assert said["took_s"] >= COMMITS * FLUSH_S, "each commit did wait for its flush"
    assert_free(JOURNAL, "commits", said)


@pytest.mark.row("trap 28", "I-003")
def test_a_value_of_fifty_megabytes(tmp_path: Path) -> None:
    """It goes past the journal."""
    said = tick(JOURNAL, tmp_path, "bytes", held=held_busy)
    assert_free(JOURNAL, "bytes", said, held_busy)
