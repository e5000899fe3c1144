"""A writer on a server killed with `kill -9` at any moment: what it was told is there, untorn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

import holdfast
from tests.crash.harness import (
    Account,
    Found,
    _assert_no_torn_batch,
    _missing,
    kill_somewhere,
)
from tests.engines.postgres.scene import postgres_config
from tests.engines.redis.scene import redis_config
from tests.servers.shared import Address

#: Kills of one database in the short run and in the long one.
KILLS = 3
KILLS_TORTURE = 25
#: Databases of the long run: 200 kills for each engine.
SERIES = 8


def kill_again_and_again(url: str, seed: int, kills: int) -> None:
    chance = Random(seed)
    account = Account()
    for number in range(5 * kills):
        if number >= kills and account.claims:
            return  # On a busy machine a writer may be killed before it wrote anything.
        life = kill_somewhere(url, chance)
        account.add(life)
        found = asyncio.run(verify(url, account))
        assert found.missing == [], f"{len(found.missing)} acknowledged writes are gone"
        assert life.lineage in (None, found.lineage), "the server lived on"
    assert account.claims, "the writers did write"


async def verify(url: str, account: Account) -> Found:
    """What the killed writer left, while nobody writes: without snapshots `check` wants that."""
    async with holdfast.open(url, housekeeping=False) as db:
        head, lineage = db.revision, db.cursor.rpartition(".")[0]
        assert await db.check() == [], "what was left does not agree with itself"
        await _assert_no_torn_batch(db)
        found = Found(lineage, await _missing(db, account.claims))
        entry = await db.entries.set("after the crash", head)
        assert entry.revision > max(head, account.newest[lineage]), "a revision was used again"
        account.newest[lineage] = entry.revision
        assert await db.check() == []
    return found


@pytest.mark.row("K-022")
def test_what_a_killed_writer_on_redis_was_told_is_there(
    redis_address: Address, tmp_path: Path
) -> None:
    config = redis_config(tmp_path, port=redis_address["port"])
    kill_again_and_again(config.url_with_secrets, 0, KILLS)


@pytest.mark.row("K-022")
def test_what_a_killed_writer_on_postgres_was_told_is_there(
    postgres_address: Address, tmp_path: Path
) -> None:
    config = postgres_config(tmp_path, port=postgres_address["port"])
    kill_again_and_again(config.url_with_secrets, 0, KILLS)


@pytest.mark.torture
@pytest.mark.row("K-022")
@pytest.mark.parametrize("seed", range(1, SERIES + 1))
def test_two_hundred_kills_on_redis(redis_address: Address, tmp_path: Path, seed: int) -> None:
    config = redis_config(tmp_path, port=redis_address["port"])
    kill_again_and_again(config.url_with_secrets, seed, KILLS_TORTURE)


@pytest.mark.torture
@pytest.mark.row("K-022")
@pytest.mark.parametrize("seed", range(1, SERIES + 1))
def test_two_hundred_kills_on_postgres(
    postgres_address: Address, tmp_path: Path, seed: int
) -> None:
    config = postgres_config(tmp_path, port=postgres_address["port"])
    kill_again_and_again(config.url_with_secrets, seed, KILLS_TORTURE)
