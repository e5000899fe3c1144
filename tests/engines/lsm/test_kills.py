"""Writers on RocksDB and LevelDB that are killed at any moment: what they were told is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.test_kills import KILLS, KILLS_TORTURE, SERIES, Mode, kill_again_and_again

#: With buffers so small that the log is full, and tables are merged, all the time.
SMALL = "&write_buffer=64KiB"
MODES = [
    Mode("rocksdb", "full", options=SMALL),
    Mode("rocksdb", "relaxed", options=SMALL),
    Mode("leveldb", "full", options=SMALL),
]
every_mode = pytest.mark.parametrize(
    "mode", [pytest.param(one, id=f"{one.engine}-{one.durability}") for one in MODES]
)


@pytest.mark.row("E-080", "K-022")
@pytest.mark.row("trap 15")
@pytest.mark.row("trap 16")
@every_mode
def test_what_a_killed_writer_was_told_is_there(tmp_path: Path, mode: Mode) -> None:
    kill_again_and_again(mode, tmp_path, 0, KILLS)


@pytest.mark.torture
@pytest.mark.row("E-080", "K-022")
@pytest.mark.parametrize("seed", range(1, SERIES + 1))
@every_mode
def test_two_hundred_kills(tmp_path: Path, mode: Mode, seed: int) -> None:
    kill_again_and_again(mode, tmp_path, seed, KILLS_TORTURE)
