"""Watchers while commits change between the journal and the file: each change once, in order."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import holdfast
from holdfast.engines.embedded import life
from holdfast.engines.lmdb import LmdbEngine, journaled, warm_up
from tests.crash.harness import environment
from tests.crash.journal.modes import JOURNAL

PATIENCE_S = 30.0
#: How soon a change is told that another process made.
WAKE_S = 0.5
ENTRIES = 400


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "WARM_UP_COMMITS", 0)
    monkeypatch.setattr(warm_up, "DENIED_S", 0.0)
    monkeypatch.setattr(journaled, "IDLE_S", 0.03)
    monkeypatch.setattr(journaled, "AGE_S", 0.05)


@pytest.mark.row("K-022", "trap 15")
def test_a_watcher_of_the_same_process_sees_each_change_once(tmp_path: Path) -> None:
    """Between the journal and the file, through full halves, pauses, checks and snapshots."""
    url = JOURNAL.url(tmp_path)
    changes = {"journal": 0, "file": 0}

    async def main() -> list[int]:
        async with holdfast.open(url) as db:
            seen: list[int] = []
            last = asyncio.Event()

            async def watch() -> None:
                async with db.watch("#", since=0) as told:
                    async for change in told:
                        seen.append(change.revision)
                        if change.key == "last":
                            last.set()
                            return

            watching = asyncio.create_task(watch())
            for number in range(ENTRIES):
                changes["journal" if _is_on() else "file"] += 1
                await db.entries.set(f"k:{number % 7}", "x" * (number % 900))
                if number % 50 == 0:
                    assert await db.check() == []
                if number % 30 == 0:
                    await asyncio.sleep(0.06)
            await db.entries.set("last", 1)
            await asyncio.wait_for(last.wait(), PATIENCE_S)
            await watching
            return seen

    seen = asyncio.run(main())
    assert seen == sorted(set(seen))
    assert len(seen) == ENTRIES + 1
    print(changes)  # noqa: T201
    assert min(changes.values()) > 0, "it went through both"


def _is_on() -> bool:
    """Whether commits go to the journal. Nobody is asked who would have to open the database."""
    engines = [engine for engine in life._alive if isinstance(engine, LmdbEngine)]
    return any(engine._journaled is not None and engine._journaled.on for engine in engines)


@pytest.mark.row("K-022", "trap 15")
def test_a_watcher_of_another_process_is_told_at_once(tmp_path: Path) -> None:
    """It comes while commits are in the journal, and sees them; later ones as they are made."""
    url = JOURNAL.url(tmp_path)

    async def main() -> None:
        async with holdfast.open(url) as db:
            for number in range(50):
                await db.entries.set("before", number)
            before = 50 + await _until_on(db)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.crash.watcher", url, "0",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
            )  # fmt: skip
            try:
                told: asyncio.Queue[tuple[dict[str, float], float]] = asyncio.Queue()
                reading = asyncio.create_task(_read(process, told))
                seen = [
                    (await asyncio.wait_for(told.get(), PATIENCE_S))[0] for _ in range(before + 1)
                ]
                assert seen[0] == {"ready": True}
                revisions = [change["revision"] for change in seen[1:]]
                late = []
                for number in range(100):
                    entry = await db.entries.set("after", number)
                    acknowledged = time.monotonic()
                    change, _ = await asyncio.wait_for(told.get(), PATIENCE_S)
                    assert change["revision"] == entry.revision
                    revisions.append(change["revision"])
                    late.append(change["seen_at"] - acknowledged)
                    assert not _is_on()
                assert revisions == sorted(set(revisions))
                assert len(revisions) == before + 100
                assert sorted(late)[50] < WAKE_S
            finally:
                process.kill()
                await process.wait()
                await reading
            await _until_on(db)

    asyncio.run(main())


async def _until_on(db: holdfast.Database) -> int:
    """Write until commits go to the journal; how many writes that took."""
    deadline = time.monotonic() + PATIENCE_S
    number = 0
    while not _is_on():
        assert time.monotonic() < deadline
        await db.entries.set("more", number)
        number += 1
    return number


async def _read(
    process: asyncio.subprocess.Process, told: asyncio.Queue[tuple[dict[str, float], float]]
) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        await told.put((json.loads(line), time.monotonic()))
