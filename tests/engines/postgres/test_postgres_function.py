"""The function of a commit, one line broken at a time: the contract suite sees each."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdfast.contract.batch import Append, Batch
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import StoreError
from holdfast.engines.postgres import PostgresEngine, statements
from holdfast.testing import Section, promises_of
from holdfast.testing.contract.batches import Batches
from holdfast.testing.contract.checks import Checks
from holdfast.testing.contract.concurrency import Concurrency
from holdfast.testing.contract.revisions import Revisions
from holdfast.testing.subject import increment
from tests.engines.postgres.scene import opened, postgres_config, value


class Postgres(Section):
    engine_type = PostgresEngine
    model_examples = 5

    def make_config(self, folder: Path) -> EngineConfig:
        return postgres_config(folder)


class ReadsChecks(Postgres, Checks):
    """Promises of checks."""


class Writes(Postgres, Batches, Revisions):
    """Promises of what a batch does."""


class Chains(Postgres, Concurrency):
    """Promises of decisions that stand on each other."""


class Together(Postgres):
    """None: what tells is that engines beside each other lose something."""


BREAKAGES: list[tuple[type[Section], str, str]] = [
    (ReadsChecks, "seen <> counts[i] OR newer > revisions[i] THEN", "newer > revisions[i] THEN"),
    (ReadsChecks, "seen <> counts[i] OR newer > revisions[i] THEN", "seen <> counts[i] THEN"),
    (ReadsChecks, "revisions[i] < current THEN", "revisions[i] < current - 1 THEN"),
    (ReadsChecks, "seen IS DISTINCT FROM revisions[i]", "seen <> revisions[i]"),
    (Together, "    PERFORM {schema}.take_turn();", ""),
    (Writes, "WHERE r.batch_id = id AND r", "WHERE false AND r"),
    (Writes, "appends := appends + 1;", ""),
    (Writes, "stamp := int8send(revision);", "stamp := int8send(current);"),
    (Writes, "DELETE FROM {schema}.record r WHERE r.key = keys[i];", ""),
    (Writes, "NOT coalesce(keys[i] = ANY (previous_keys), false)", "i < 3"),
    (Writes, "IF NOT writes THEN", "IF false THEN"),
    (Chains, "OR (met IS NOT NULL AND since <> begun::bigint)", ""),
]


@pytest.mark.parametrize(("sections", "was", "becomes"), BREAKAGES)
def test_a_broken_function_is_caught(
    sections: type[Section],
    was: str,
    becomes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = statements._source()
    assert source.count(was) == 1, "the line is no longer in schema.sql"
    monkeypatch.setattr(statements, "_source", lambda: source.replace(was, becomes))
    assert _caught(sections(), tmp_path), f"no promise sees {was!r} become {becomes!r}"


def test_the_whole_function_passes(tmp_path: Path) -> None:
    assert not _caught(ReadsChecks(), tmp_path)


def _caught(contract: Section, folder: Path) -> bool:
    for name, promise in promises_of(type(contract)).items():
        if "process" in name:
            continue  # They would make databases whose function is whole.
        (folder / name).mkdir()
        try:
            promise(contract, folder / name)
        except (Exception, pytest.fail.Exception):
            return True
    try:
        asyncio.run(_engines_lose_nothing(folder))
    except (AssertionError, StoreError):
        return True
    return False


async def _engines_lose_nothing(folder: Path) -> None:
    """Engines that know nothing of each other, as those of several processes, count together."""
    config = postgres_config(folder / "together")

    async def count() -> list[int]:
        async with opened(config) as engine:
            revisions = []
            for _ in range(15):
                revisions.append((await engine.transact([b"n"], increment(b"n"))).revision)
                revisions.append((await engine.commit(Batch([Append(b"log", b"")]))).revision)
            return revisions

    async with opened(config) as engine:
        found = await asyncio.gather(*(count() for _ in range(6)))
        revisions = [revision for one in found for revision in one]
        assert len(set(revisions)) == len(revisions)
        assert await value(engine, b"n") == b"90"
