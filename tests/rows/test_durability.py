"""Rows of durability: a killed bank has all its money, and each write was flushed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import holdfast
from benchmarks.shim import Shim, compile_shim
from tests import needs
from tests.rows.bank import ACCOUNTS, BALANCE, account
from tests.store.scene import PERSISTENT, listed
from tests.tidy import repository

KILLS = 4
#: A bank is killed after so many acknowledged transfers, at most.
TRANSFERS_MAX = 60


def environment(**more: str) -> dict[str, str]:
    paths = (str(repository.ROOT), str(repository.ROOT / "src"))
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | more


def run_and_kill(url: str, seed: int, transfers: int) -> list[str]:
    """Let a bank trade, kill it, and tell the transfers that it had acknowledged."""
    command = [sys.executable, "-m", "tests.rows.bank", url, str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as bank:
        assert bank.stdout is not None
        lines = [bank.stdout.readline() for _ in range(transfers)]
        bank.kill()
        lines += bank.stdout.readlines()
    assert bank.returncode == -9
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


async def books(url: str) -> tuple[list[int], dict[str, list[int]]]:
    """The balances and the ledger."""
    async with holdfast.open(url) as db:
        found = await db.entries.get_many([account(number) for number in range(ACCOUNTS)])
        ledger = {str(one.key): one.value for one in await listed(db.entries.items("ledger:+"))}
        assert await db.check() == []
    return [one.value for one in found.values()], ledger


@pytest.mark.row("I-060")
@pytest.mark.parametrize("engine", PERSISTENT)
def test_a_killed_bank_has_lost_no_money_and_no_transfer(engine: str, tmp_path: Path) -> None:
    url = f"{engine}:///{tmp_path / 'bank'}"
    chance = Random(engine)
    acknowledged: set[str] = set()
    for seed in range(KILLS):
        told = run_and_kill(url, seed, chance.randrange(1, TRANSFERS_MAX))
        assert told
        acknowledged |= set(told)
        balances, ledger = asyncio.run(books(url))
        assert sum(balances) == ACCOUNTS * BALANCE
        assert acknowledged <= ledger.keys()
        # Every transfer is there whole: the balances are what the ledger makes of them.
        expected = [BALANCE] * ACCOUNTS
        for giver, taker, amount in ledger.values():
            expected[giver] -= amount
            expected[taker] += amount
        assert balances == expected


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    compiled = compile_shim(tmp_path_factory.mktemp("shim"))
    assert compiled is not None
    return compiled


WRITES = 20
WRITING = """
import sys
import holdfast.sync
from benchmarks.shim import flushes

with holdfast.sync.open(sys.argv[1]) as db:
    db.entries.set("a", "first")
    seen = []
    for number in range(int(sys.argv[2])):
        before = flushes()
        db.entries.set("a", number)
        seen.append(flushes() - before)
    print(*seen)
"""


def flushes_of_writes(url: str, shim: Shim) -> list[int]:
    """How many flushes the process made during each of some writes."""
    done = subprocess.run(
        [sys.executable, "-c", WRITING, url, str(WRITES)],
        env=environment(**shim.environment()),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(count) for count in done.stdout.split()]


@pytest.mark.row("E-101", "trap 16")
@needs.preloading
@pytest.mark.parametrize("engine", PERSISTENT)
def test_each_write_of_one_caller_is_flushed_unless_relaxed(
    engine: str, shim: Shim, tmp_path: Path
) -> None:
    full = flushes_of_writes(f"{engine}:///{tmp_path / 'full'}", shim)
    assert len(full) == WRITES
    assert min(full) >= 1, "an acknowledged write was not flushed"
    relaxed = flushes_of_writes(
        f"{engine}:///{tmp_path / 'relaxed'}?durability=relaxed&flush_interval=10s", shim
    )
    assert sum(relaxed) < WRITES
