"""A writer killed with `kill -9` at any moment: what was promised is there, and nothing is torn."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.crash.harness import WRITER, Account, Found, Life, kill_somewhere, run_and_kill, verify

#: Kills of one database in the short run and in the long one.
KILLS = 5
KILLS_TORTURE = 25
#: Databases of the long run: 200 kills for each engine and mode.
SERIES = 8


@dataclass(frozen=True)
class Mode:
    """An engine with a durability mode.

    Attributes:
        keeps_all: the end of the process alone loses nothing that was acknowledged.
        options: more parameters of the URL.
        program: the writer that is killed.
    """

    engine: str
    durability: str
    keeps_all: bool = True
    options: str = ""
    program: str = WRITER

    def url(self, folder: Path) -> str:
        return f"{self.engine}:///{folder / 'app'}?durability={self.durability}{self.options}"


MODES = [
    Mode("lmdb", "full"),
    Mode("lmdb", "relaxed", keeps_all=False),
    Mode("sqlite", "full"),
    Mode("sqlite", "relaxed"),
]
every_mode = pytest.mark.parametrize(
    "mode", [pytest.param(one, id=f"{one.engine}-{one.durability}") for one in MODES]
)


def settle(mode: Mode, account: Account, life: Life, found: Found) -> int:
    """Assert what the mode promises; how many acknowledged writes are gone, as it allows."""
    if mode.keeps_all:
        assert found.missing == [], f"{len(found.missing)} acknowledged writes are gone"
        assert life.lineage in (None, found.lineage)
        return 0
    if not found.missing:
        return 0
    assert found.lineage != life.lineage, "writes are gone, and their revisions mean other ones now"
    lost = {id(claim) for claim in found.missing}
    # A deletion is told without its revision.
    first = min(claim.get("revision", math.inf) for claim in found.missing)
    assert all(id(claim) in lost for claim in life.claims if claim.get("revision", 0) >= first), (
        "a commit is there and one before it is gone"
    )
    assert all(any(claim is one for one in life.claims) for claim in found.missing), (
        "a write is gone that an earlier opening had found"
    )
    account.claims = [claim for claim in account.claims if id(claim) not in lost]
    return len(lost)


def kill_again_and_again(mode: Mode, folder: Path, seed: int, kills: int) -> None:
    chance = Random(f"{mode} {seed}")
    account = Account()
    lost = 0
    for _ in range(kills):
        life = kill_somewhere(mode.url(folder), chance, program=mode.program)
        account.add(life)
        lost += settle(mode, account, life, asyncio.run(verify(mode.url(folder), account)))
    told = len(account.claims)
    print(f"{mode}: {kills} kills, {told} writes found, {lost} gone as allowed")  # noqa: T201
    assert account.claims, "the writers did write"


@pytest.mark.row("K-022")
@pytest.mark.row("trap 15")
@pytest.mark.row("trap 16")
@every_mode
def test_what_a_killed_writer_was_told_is_there(tmp_path: Path, mode: Mode) -> None:
    kill_again_and_again(mode, tmp_path, 0, KILLS)


@pytest.mark.torture
@pytest.mark.row("K-022")
@pytest.mark.row("trap 15")
@pytest.mark.row("trap 16")
@pytest.mark.parametrize("seed", range(1, SERIES + 1))
@every_mode
def test_two_hundred_kills(tmp_path: Path, mode: Mode, seed: int) -> None:
    kill_again_and_again(mode, tmp_path, seed, KILLS_TORTURE)


@pytest.mark.row("trap 16")
def test_relaxed_lmdb_loses_the_last_interval_at_most(tmp_path: Path) -> None:
    """Of a writer that lived much longer than an interval, only the end is gone.

    The interval ends with a flush that takes its own time, and this machine has other work too: of
    three writers the one that lost least counts.
    """
    interval_s, slack_s = 0.05, 0.3
    spans = []
    for number in range(3):
        url = f"lmdb:///{tmp_path / str(number)}?durability=relaxed&flush_interval={interval_s}"
        life = run_and_kill(url, number, after_s=1.5)
        account = Account()
        account.add(life)
        found = asyncio.run(verify(url, account))
        gone = [claim["at"] for claim in found.missing]
        spans.append(life.killed_at - min(gone, default=life.killed_at))
        print(f"{len(gone)} writes of the last {spans[-1] * 1000:.0f} ms are gone")  # noqa: T201
        if spans[-1] <= interval_s + slack_s:
            assert len(gone) < len(life.claims) / 2, "most of it had been flushed long before"
            return
    pytest.fail(f"writes of the last {min(spans):.3f} s are gone; the interval is {interval_s} s")
