"""The file engine when its process is killed, and when the power goes.

Its journal lives by names: segments are begun, listed and removed. So the medium here also forgets
names whose directory was not flushed, and, the other way round, keeps them before they were.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

import pytest

from holdfast.engines.file import compaction, journal, opening
from tests import needs
from tests.crash.harness import (
    Account,
    end_after,
    environment,
    kill_somewhere,
    verify,
)
from tests.crash.test_kills import Mode, settle
from tests.engines.file_database import segments

#: Kills, and losses of power, of one database: four and six databases in the short run.
KILLS, KILLS_TORTURE = 5, 25
LOSSES, LOSSES_TORTURE = 2, 17
SERIES = 2


@dataclass(frozen=True)
class FileMode(Mode):
    """A durability mode of the file engine, with a format."""

    format: str = "json"

    def url(self, folder: Path) -> str:
        return f"{super().url(folder)}&format={self.format}"


MODES = [
    FileMode("file", "full"),
    FileMode("file", "relaxed"),
    FileMode("file", "full", format="msgpack"),
    FileMode("file", "relaxed", format="msgpack"),
]
every_mode = pytest.mark.parametrize(
    "mode", [pytest.param(one, id=f"{one.durability}-{one.format}") for one in MODES]
)
every_name = pytest.mark.parametrize("names", ["late", "early"])

#: Segments so small, and compaction so eager, that both happen all the time.
RESTLESS = {"HOLDFAST_TEST_RESTLESS": "1"}


@pytest.fixture(autouse=True)
def machine_that_starts_again(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opens an image does so after the machine was started again."""
    if "names" in request.fixturenames:
        starts = count()
        monkeypatch.setattr(opening, "machine_start", lambda: f"start {next(starts)}")


def _kill_again_and_again(mode: FileMode, folder: Path, seed: int, kills: int) -> None:
    chance = Random(f"{mode} {seed}")
    account = Account()
    for _ in range(kills):
        life = kill_somewhere(mode.url(folder), chance, RESTLESS)
        account.add(life)
        settle(mode, account, life, asyncio.run(verify(mode.url(folder), account)))
    names = [path.name for path in segments(folder / "app")]
    print(f"{mode}: {kills} kills, {len(account.claims)} writes found, in {names}")  # noqa: T201
    assert account.claims, "the writers did write"
    # In a short life it may not come to that.
    assert kills == KILLS or int(names[0].partition(".")[0]) > 1, "the journal was compacted"


@pytest.mark.row("E-066", "K-022")
@pytest.mark.row("trap 15")
@pytest.mark.row("trap 16")
@every_mode
def test_what_a_killed_writer_was_told_is_there(tmp_path: Path, mode: FileMode) -> None:
    _kill_again_and_again(mode, tmp_path, 0, KILLS)


@pytest.mark.torture
@pytest.mark.row("E-066", "K-022")
@pytest.mark.parametrize("seed", range(1, SERIES + 1))
@every_mode
def test_two_hundred_kills(tmp_path: Path, mode: FileMode, seed: int) -> None:
    _kill_again_and_again(mode, tmp_path, seed, KILLS_TORTURE)


def _images(medium: Path, folder: Path, image: Path, names: str) -> dict[str, str]:
    """The environment of a writer to `folder` whose flushed bytes and names go to `image`."""
    for old in (image, image.with_name(image.name + ".files")):
        shutil.rmtree(old, ignore_errors=True)
    image.mkdir()
    return {
        **RESTLESS,
        "LD_PRELOAD": str(medium),
        "HOLDFAST_CRASH_FOLDER": str(folder.resolve()),
        "HOLDFAST_CRASH_IMAGE": str(image.resolve()),
        "HOLDFAST_CRASH_NAMES": names,
    }


def _lose_power_again_and_again(
    mode: FileMode, names: str, medium: Path, tmp_path: Path, seed: int, losses: int
) -> None:
    mode = FileMode(mode.engine, mode.durability, mode.durability == "full", format=mode.format)
    chance = Random(f"{mode} {names} {seed}")
    account = Account()
    lost = 0
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    for _ in range(losses):
        life = kill_somewhere(mode.url(folder), chance, _images(medium, folder, image, names))
        account.add(life)
        lost += settle(mode, account, life, asyncio.run(verify(mode.url(image), account)))
        # The machine goes on with what it found, all of it on the medium now.
        shutil.rmtree(folder)
        shutil.copytree(image, folder)
    told = len(account.claims)
    print(f"{mode}: power lost {losses} times, {told} writes found, {lost} gone")  # noqa: T201


@pytest.mark.row("E-066", "K-022")
@pytest.mark.row("trap 16")
@every_name
@every_mode
def test_what_was_flushed_is_enough(
    medium: Path, tmp_path: Path, mode: FileMode, names: str
) -> None:
    _lose_power_again_and_again(mode, names, medium, tmp_path, 0, LOSSES)


@pytest.mark.torture
@pytest.mark.row("E-066", "K-022")
@pytest.mark.row("trap 16")
@pytest.mark.parametrize("seed", range(1, 4))
@every_name
@every_mode
def test_a_hundred_losses_of_power(
    medium: Path, tmp_path: Path, mode: FileMode, names: str, seed: int
) -> None:
    _lose_power_again_and_again(mode, names, medium, tmp_path, seed, LOSSES_TORTURE)


@pytest.mark.row("trap 16")
@pytest.mark.parametrize("writes", [1, 2, 3])
@every_name
def test_the_very_last_write_was_flushed(
    medium: Path, tmp_path: Path, names: str, writes: int
) -> None:
    """Nothing comes after it whose flush could have taken it along."""
    mode = FileMode("file", "full")
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    account = Account()
    account.add(end_after(mode.url(folder), writes, _images(medium, folder, image, names)))
    assert len(account.claims) == writes
    assert asyncio.run(verify(mode.url(image), account)).missing == []


@pytest.mark.parametrize("names", ["late"])
def test_the_images_hold_nothing_that_was_not_flushed(
    medium: Path, tmp_path: Path, names: str
) -> None:
    """What the tests above would see if the engine acknowledged before it flushed."""
    mode = FileMode("file", "relaxed")
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    variables = _images(medium, folder, image, names)
    del variables["HOLDFAST_TEST_RESTLESS"]  # New segments flush.
    life = end_after(f"{mode.url(folder)}&flush_interval=1h", 20, variables)
    account = Account()
    account.add(life)
    assert asyncio.run(verify(mode.url(folder), account)).missing == []
    lost = asyncio.run(verify(mode.url(image), account))
    assert len(lost.missing) == len(life.claims) == 20
    assert lost.lineage != life.lineage


def test_restless_journals_are_what_these_tests_think() -> None:
    """The names that `tests/crash/writer.py` changes are still those that the engine reads."""
    assert journal.SEGMENT_BYTES_MIN > 0
    assert compaction.DEAD_BYTES_MIN > 0


@pytest.mark.row("E-066", "I-108")
@pytest.mark.parametrize("durability", ["full", "relaxed"])
@needs.private_mounts
def test_a_small_medium(tmp_path: Path, durability: str) -> None:
    mount = 'mount -t tmpfs -o size=12m none "$1" && cd "$1" && shift && exec "$@"'
    before = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path))
    url = FileMode("file", durability).url(tmp_path)
    answer = subprocess.run(
        [*before, sys.executable, "-m", "tests.crash.full", url, "0"],
        capture_output=True,
        text=True,
        timeout=55,
        env=environment(),
        check=False,
    )
    assert answer.stdout == "kept every promise\n", answer.stderr
