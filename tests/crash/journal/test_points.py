"""A process that dies anywhere in the life of a journal, by a kill and by a loss of power.

After each death the folder is what a kill leaves, and the image what a loss of power leaves. Both
are opened, and have to hold every acknowledged write, agree with themselves (entries, history,
feed), and be of the same lineage. The next process goes on with the image as it was left, so that
it finds a journal to write to LMDB, and may die while it does.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from random import Random

import pytest

from tests.crash.harness import Account, Life, end_after, run_and_kill, verify
from tests.crash.journal.modes import JOURNAL
from tests.crash.journal.writer import POINTS
from tests.crash.test_kills import kill_again_and_again, settle
from tests.crash.test_power_loss import images, lose_power_again_and_again

#: How long a writer lives that does not come to the point.
LIFE_S = 0.8
#: One death of each kind, in an order in which each leaves something to the next.
SHORT = (
    "append after 5", "write before 9", "begin after 2", "finish before 3", "replay after 1",
    "apply before 1", "drain after 1", "land before 7",
)  # fmt: skip
KILLS, LOSSES = 3, 2
SERIES = 8
#: Deaths at a point for each seed of the long run, and on one database.
DEATHS, DEATHS_OF_ONE = 64, 8
KILLS_TORTURE, LOSSES_TORTURE = 25, 25

_all_points = [
    f"{name} {when} {number}"
    for name in POINTS
    for when in ("before", "after")
    for number in (1, 2, 3, 7, 20)
]


def _die_again_and_again(medium: Path, tmp_path: Path, points: list[str], chance: Random) -> int:
    """How many acknowledged writes were looked for."""
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image.mkdir()
    account = Account()
    for point in points:
        variables = images(medium, folder, image) | {"HOLDFAST_CRASH_POINT": point}
        life = run_and_kill(
            JOURNAL.url(folder), chance.randrange(1 << 30), phase="opening", after_s=LIFE_S,
            variables=variables, program=JOURNAL.program,
        )  # fmt: skip
        account.add(life)
        left = {"killed": folder, "without power": image}
        seen = {how: _look(tmp_path / "look", place, account, life) for how, place in left.items()}
        lineages = set(seen.values()) - {None}
        assert len(lineages) <= 1, f"{point}: {seen}"
        shutil.rmtree(folder)
        shutil.copytree(image, folder)
    return len(account.claims)


def _look(copy: Path, left: Path, account: Account, life: Life) -> str | None:
    """Open a copy of what was left, and hold it to what was told; its lineage."""
    if not (left / "app" / "data.mdb").exists():
        assert not account.claims, "the database file is gone"
        return None
    shutil.copytree(left, copy)
    try:
        # In the account of the copy: what is written there is not there in the original.
        own = Account(account.claims, account.newest.copy())
        found = asyncio.run(verify(JOURNAL.url(copy), own))
        settle(JOURNAL, own, life, found)
    finally:
        shutil.rmtree(copy)
    return found.lineage


@pytest.mark.row("K-022", "trap 15", "trap 16")
def test_a_death_at_each_step(medium: Path, tmp_path: Path) -> None:
    told = _die_again_and_again(medium, tmp_path, list(SHORT), Random("short"))
    assert told > 100


@pytest.mark.torture
@pytest.mark.row("K-022", "trap 15", "trap 16")
@pytest.mark.parametrize("seed", range(6))
def test_every_step_again_and_again(medium: Path, tmp_path: Path, seed: int) -> None:
    points = Random(seed).sample(_all_points, len(_all_points))[:DEATHS]
    for first in range(0, len(points), DEATHS_OF_ONE):
        # Not all on one database, because all that was told is looked for after each death.
        place = tmp_path / str(first)
        place.mkdir()
        few = points[first : first + DEATHS_OF_ONE]
        assert _die_again_and_again(medium, place, few, Random(seed)) > 100


@pytest.mark.row("K-022", "trap 15", "trap 16")
def test_killed_anywhere(tmp_path: Path) -> None:
    kill_again_and_again(JOURNAL, tmp_path, 0, KILLS)


@pytest.mark.row("K-022", "trap 16")
def test_power_lost_anywhere(medium: Path, tmp_path: Path) -> None:
    lose_power_again_and_again(JOURNAL, medium, tmp_path, 0, LOSSES)


@pytest.mark.row("trap 16")
@pytest.mark.parametrize("writes", [1, 2, 3])
def test_the_very_last_write_was_flushed(medium: Path, tmp_path: Path, writes: int) -> None:
    """Nothing comes after it whose flush could have taken it along."""
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    image.mkdir()
    account = Account()
    variables = images(medium, folder, image)
    account.add(end_after(JOURNAL.url(folder), writes, variables, JOURNAL.program))
    assert len(account.claims) == writes
    assert asyncio.run(verify(JOURNAL.url(image), account)).missing == []


@pytest.mark.torture
@pytest.mark.row("K-022", "trap 15", "trap 16")
@pytest.mark.parametrize("seed", range(1, SERIES + 1))
def test_two_hundred_kills(tmp_path: Path, seed: int) -> None:
    kill_again_and_again(JOURNAL, tmp_path, seed, KILLS_TORTURE)


@pytest.mark.torture
@pytest.mark.row("K-022", "trap 16")
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_hundred_losses_of_power(medium: Path, tmp_path: Path, seed: int) -> None:
    lose_power_again_and_again(JOURNAL, medium, tmp_path, seed, LOSSES_TORTURE)
