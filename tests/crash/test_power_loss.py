"""What is left when the power goes: `kill -9` alone would prove no flush.

A preloaded library (`medium.c`) keeps images of the database's files that hold what was flushed
and nothing else. The writer is killed, the images are opened in the place of the files, and every
write that was acknowledged has to be there in `full` mode; in `relaxed` mode a whole past state.
"""

from __future__ import annotations

import asyncio
import shutil
from itertools import count
from pathlib import Path
from random import Random

import pytest

from holdfast.engines.sqlite import opening
from tests.crash.harness import Account, Life, end_after, kill_somewhere, run_and_kill, verify
from tests.crash.test_kills import Mode, settle

#: Losses of power of one database in the short run and in the long one.
LOSSES = 3
LOSSES_TORTURE = 25

MODES = [
    Mode("lmdb", "full"),
    Mode("lmdb", "relaxed", keeps_all=False),
    Mode("sqlite", "full"),
    Mode("sqlite", "relaxed", keeps_all=False),
]
every_mode = pytest.mark.parametrize(
    "mode", [pytest.param(one, id=f"{one.engine}-{one.durability}") for one in MODES]
)


@pytest.fixture(autouse=True)
def machine_that_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens an image does so after the machine was started again."""
    starts = count()
    monkeypatch.setattr(opening, "machine_start", lambda: f"start {next(starts)}")


def images(medium: Path, folder: Path, image: Path) -> dict[str, str]:
    """The environment of a writer to `folder` whose flushed bytes go to `image`."""
    return {
        "LD_PRELOAD": str(medium),
        "HOLDFAST_CRASH_FOLDER": str(folder.resolve()),
        "HOLDFAST_CRASH_IMAGE": str(image.resolve()),
    }


def lose_power_again_and_again(
    mode: Mode, medium: Path, tmp_path: Path, seed: int, losses: int
) -> None:
    chance = Random(f"{mode} {seed}")
    account = Account()
    lost = 0
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image.mkdir()
    for _ in range(losses):
        variables = images(medium, folder, image)
        life = kill_somewhere(mode.url(folder), chance, variables, mode.program)
        account.add(life)
        found = asyncio.run(verify(mode.url(image), account))
        lost += settle(mode, account, life, found)
        # The machine goes on with what it found, all of it on the medium now.
        shutil.rmtree(folder)
        shutil.copytree(image, folder)
    told = len(account.claims)
    print(f"{mode}: power lost {losses} times, {told} writes found, {lost} gone")  # noqa: T201


@pytest.mark.row("trap 16")
@pytest.mark.row("K-022")
@every_mode
def test_what_was_flushed_is_enough(medium: Path, tmp_path: Path, mode: Mode) -> None:
    lose_power_again_and_again(mode, medium, tmp_path, 0, LOSSES)


@pytest.mark.torture
@pytest.mark.row("trap 16")
@pytest.mark.row("K-022")
@pytest.mark.parametrize("seed", range(1, 5))
@every_mode
def test_a_hundred_losses_of_power(medium: Path, tmp_path: Path, mode: Mode, seed: int) -> None:
    lose_power_again_and_again(mode, medium, tmp_path, seed, LOSSES_TORTURE)


@pytest.mark.row("trap 16")
@pytest.mark.parametrize("writes", [1, 2, 3])
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_the_very_last_write_was_flushed(
    medium: Path, tmp_path: Path, engine: str, writes: int
) -> None:
    """Nothing comes after it whose flush could have taken it along."""
    mode = Mode(engine, "full")
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image.mkdir()
    account = Account()
    account.add(end_after(mode.url(folder), writes, images(medium, folder, image)))
    assert len(account.claims) == writes
    assert asyncio.run(verify(mode.url(image), account)).missing == []


def test_the_images_hold_nothing_that_was_not_flushed(medium: Path, tmp_path: Path) -> None:
    """What the tests above would see if an engine acknowledged before it flushed."""
    mode = Mode("sqlite", "relaxed")
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image.mkdir()
    life: Life = run_and_kill(
        f"{mode.url(folder)}&flush_interval=1h",
        1,
        after_s=0.3,
        variables=images(medium, folder, image),
    )
    assert life.claims
    account = Account()
    account.add(life)
    killed = asyncio.run(verify(mode.url(folder), account))
    assert killed.missing == [], "the files themselves lack nothing: the process alone ended"
    lost = asyncio.run(verify(mode.url(image), account))
    assert len(lost.missing) > len(life.claims) / 2
    assert lost.lineage != life.lineage
