"""The power goes from under RocksDB and LevelDB: what was flushed is enough.

The medium here forgets what was not flushed, and names whose directory was not; or it keeps names
before they were.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from random import Random

import pytest

from holdfast.engines.lsm import facts
from tests.crash.conftest import medium
from tests.crash.harness import Account, end_after, kill_somewhere, verify
from tests.crash.test_file_crashes import _images
from tests.crash.test_kills import Mode, settle
from tests.engines.lsm.lsm_database import every_mode as every_name
from tests.engines.lsm.lsm_database import make, opened, put

__all__ = ["medium"]

LOSSES, LOSSES_TORTURE = 2, 25
SMALL = "&write_buffer=64KiB"
MODES = [
    Mode("rocksdb", "full", options=SMALL),
    Mode("rocksdb", "relaxed", keeps_all=False, options=SMALL),
    Mode("leveldb", "full", options=SMALL),
]
every_mode = pytest.mark.parametrize(
    "mode", [pytest.param(one, id=f"{one.engine}-{one.durability}") for one in MODES]
)
every_fate_of_names = pytest.mark.parametrize("names", ["late", "early"])


def _lose_power_again_and_again(
    mode: Mode, names: str, medium: Path, tmp_path: Path, seed: int, losses: int
) -> None:
    chance = Random(f"{mode} {names} {seed}")
    account = Account()
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    for _ in range(losses):
        life = kill_somewhere(mode.url(folder), chance, _images(medium, folder, image, names))
        account.add(life)
        settle(mode, account, life, asyncio.run(verify(mode.url(image), account)))
        # The machine goes on with what it found, all of it on the medium now.
        shutil.rmtree(folder)
        shutil.copytree(image, folder)


@pytest.fixture
def machine_that_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens an image does so after the machine was started again."""
    starts = iter(range(1000))
    monkeypatch.setattr(facts, "machine_start", lambda: f"start {next(starts)}")


@pytest.mark.row("E-080", "K-022")
@pytest.mark.row("trap 16")
@pytest.mark.usefixtures("machine_that_starts_again")
@every_fate_of_names
@every_mode
def test_what_was_flushed_is_enough(medium: Path, tmp_path: Path, mode: Mode, names: str) -> None:
    _lose_power_again_and_again(mode, names, medium, tmp_path, 0, LOSSES)


@pytest.mark.torture
@pytest.mark.row("E-080", "K-022")
@pytest.mark.row("trap 16")
@pytest.mark.usefixtures("machine_that_starts_again")
@pytest.mark.parametrize("seed", range(1, 3))
@every_fate_of_names
@every_mode
def test_a_hundred_losses_of_power(
    medium: Path, tmp_path: Path, mode: Mode, names: str, seed: int
) -> None:
    _lose_power_again_and_again(mode, names, medium, tmp_path, seed, LOSSES_TORTURE)


@pytest.mark.row("trap 16")
@pytest.mark.parametrize("writes", [1, 3])
@pytest.mark.parametrize("engine", ["rocksdb", "leveldb"])
def test_the_very_last_write_was_flushed(
    medium: Path, tmp_path: Path, engine: str, writes: int
) -> None:
    """Nothing comes after it whose flush could have taken it along."""
    mode = Mode(engine, "full")
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    account = Account()
    variables = _images(medium, folder, image, "late")
    account.add(end_after(mode.url(folder), writes, variables))
    assert len(account.claims) == writes
    assert asyncio.run(verify(mode.url(image), account)).missing == []


@every_name
def test_the_lineage_tells_of_a_loss(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(name, tmp_path / "app") as engine:
        put(engine, b"key")
        lineage = engine.lineage
        shutil.copytree(tmp_path / "app", tmp_path / "killed")
        shutil.copytree(tmp_path / "app", tmp_path / "started again")
    with opened(name, tmp_path / "killed") as engine:
        assert engine.lineage == lineage, "the end of a process alone loses nothing"
    monkeypatch.setattr(facts, "machine_start", lambda: "the next start of this machine")
    with opened(name, tmp_path / "app") as engine:
        assert engine.lineage == lineage, "a close flushes"
    with opened(name, tmp_path / "started again") as engine:
        assert (engine.lineage == lineage) is (
            make(name, tmp_path).capabilities.durability == "full"
        )
