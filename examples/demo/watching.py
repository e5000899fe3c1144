"""Cities are watched while another process writes, which is killed in the middle.

An engine that lets one process in at a time is watched beside a task that writes, and killed while
the other process has it alone.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any

import holdfast
from examples.demo.data import NAMESPACE
from examples.demo.verdicts import Verdicts, console
from holdfast import Change, Cursor, Database

#: The namespace that is watched while somebody else writes to it.
WATCHED = f"{NAMESPACE}/JP:+"
#: How long the demo waits for a change before it says that none comes.
PATIENCE_S = 20.0


class Writer:
    """Another process that writes to the watched namespace until it is killed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: asyncio.subprocess.Process | None = None
        self._acknowledged: list[int] = []

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.demo", "--write-until-killed", "--url", self._url,
            stdout=asyncio.subprocess.PIPE, limit=2**20,
        )  # fmt: skip

    async def until(self, enough: int) -> None:
        """Wait until so many of its writes were acknowledged to it."""
        assert self._process is not None
        assert self._process.stdout is not None
        while len(self._acknowledged) < enough and (line := await self._process.stdout.readline()):
            self._acknowledged.append(int(line))

    async def kill(self) -> list[int]:
        """End it with SIGKILL; the numbers of the writes that were acknowledged to it."""
        assert self._process is not None
        self._process.kill()
        output, _ = await self._process.communicate()
        # Its last line may be half: a number is told by the newline behind it.
        return self._acknowledged + [int(line) for line in output.decode().split("\n")[:-1]]


async def write_until_killed(url: str) -> None:
    """What the other process does: number after number into the cities of Japan."""
    async with holdfast.open(url) as db:
        keys = [key async for key in db.entries.keys(WATCHED)]
        for number, key in zip(itertools.count(1), itertools.cycle(keys)):
            await db.entries.modify(
                key, visited(number), modified_by="visitor",
                comment=f"visit {number}",
            )  # fmt: skip
            print(number, flush=True)


def visited(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a numbered visit makes of a city."""
    return lambda city: city | {"visits": number}


def visit_of(change: Change) -> int:
    """The number that the writer gave a change."""
    assert change.after is not None
    return int(change.after.value["visits"])


async def watch_and_kill(url: str, enough: int, verdicts: Verdicts) -> list[Change]:
    """Watch while another process writes, kill it in the middle, reopen, resume the watch."""
    writer = Writer(url)
    seen: list[Change] = []
    async with holdfast.open(url) as db:
        since = await db.head()
        lineage = Cursor.parse(db.cursor).lineage
        console.print(f"\nwatch {WATCHED} while another process writes there ...")
        await writer.start()
        async with asyncio.timeout(PATIENCE_S), db.watch(WATCHED, since=since) as changes:
            async for change in changes:
                seen.append(change)
                if len(seen) == enough:
                    break
        acknowledged = await writer.kill()
        cursor = str(Cursor(lineage, seen[-1].revision))
    console.print(
        f"saw {len(seen)} changes, then [bold]kill -9[/]; the writer had {len(acknowledged)} "
        "acknowledged. Closed the database."
    )
    missed, speed = await reopen(url, cursor)
    compare(seen, missed, acknowledged, verdicts, speed)
    return seen + missed


async def kill_alone(url: str, enough: int, verdicts: Verdicts) -> list[Change]:
    """Kill a process that has the database for itself, reopen, and read on from before it."""
    async with holdfast.open(url) as db:
        cursor = db.cursor
    console.print("\nanother process opens the database and writes ...")
    writer = Writer(url)
    await writer.start()
    async with asyncio.timeout(PATIENCE_S):
        await writer.until(enough)
    acknowledged = await writer.kill()
    console.print(f"[bold]kill -9[/]; it had {len(acknowledged)} writes acknowledged.")
    missed, speed = await reopen(url, cursor)
    compare([], missed, acknowledged, verdicts, speed)
    return missed


async def watch_a_task(db: Database, enough: int, verdicts: Verdicts) -> list[Change]:
    """Watch while a task of this process writes, for an engine that lets no other process in."""
    since = await db.head()
    keys = [key async for key in db.entries.keys(WATCHED)]
    console.print(f"\nwatch {WATCHED} while a task writes there (the engine has one process) ...")

    async def write() -> None:
        for number, key in zip(range(1, 2 * enough + 1), itertools.cycle(keys)):
            await db.entries.modify(
                key, visited(number), modified_by="visitor",
                comment=f"visit {number}",
            )  # fmt: skip

    seen: list[Change] = []
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(write())
        async with db.watch(WATCHED, since=since) as changes:
            async for change in changes:
                seen.append(change)
                if len(seen) == enough:
                    break
    missed = [one async for one in changes_until_head(db, WATCHED, seen[-1].revision)]
    numbers = [visit_of(change) for change in seen + missed]
    verdicts.equal(
        "changes seen, each once and in order", list(range(1, 2 * enough + 1)), numbers,
        f"{len(seen)} live, {len(missed)} after resuming",
    )  # fmt: skip
    return seen + missed


async def reopen(url: str, cursor: str) -> tuple[list[Change], str]:
    """What the watch tells from a cursor on, and how long the database took to open again."""
    start = perf_counter()
    async with holdfast.open(url) as db:
        speed = f"reopened in {(perf_counter() - start) * 1e3:.1f} ms"
        console.print(f"reopened, and the watch goes on from {cursor}")
        async with asyncio.timeout(PATIENCE_S):
            changes = [change async for change in changes_until_head(db, WATCHED, cursor)]
    return changes, speed


def compare(
    seen: list[Change],
    missed: list[Change],
    acknowledged: list[int],
    verdicts: Verdicts,
    speed: str,
) -> None:
    """Whether the changes that were told are those that were acknowledged to a killed process."""
    numbers = [visit_of(change) for change in seen + missed]
    verdicts.equal(
        "changes of a killed process, each once and in order", list(range(1, len(numbers) + 1)),
        numbers, f"{len(seen)} live, {len(missed)} after resuming",
    )  # fmt: skip
    lost = set(acknowledged) - set(numbers)
    # One more than acknowledged may be there: committed, and killed before it could say so.
    in_flight = int(max(numbers) == len(acknowledged) + 1)
    verdicts.equal(
        "acknowledged writes lost by kill -9", 0, len(lost),
        f"{len(acknowledged)} acknowledged, {in_flight} in flight",
    )  # fmt: skip
    verdicts.equal(
        "writes found after the kill", len(acknowledged) + in_flight, len(numbers), speed
    )


async def changes_until_head(db: Database, pattern: str, since: int | str) -> AsyncIterator[Change]:
    """The changes after `since` that are there now."""
    # A change behind all others, to know where to stop: what is there, is before it.
    last = await db.entries.set("demo:end", None, modified_by="demo")
    wanted = holdfast.Pattern.mqtt(pattern)
    async with db.watch("#", since=since) as changes:
        async for change in changes:
            if change.revision == last.revision:
                break
            if change.key is not None and wanted.matches(change.key):
                yield change
    await db.entries.delete("demo:end", modified_by="demo")
