"""The demo: real data stored, changed, watched, killed, reopened, and all of it verified.

    make demo                                        (or: python -m examples.demo)
    python -m examples.demo --url sqlite:///demo-data/cities.db

It keeps the world's cities in ./demo-data, starting over each time, and leaves them there to be
explored. Ends with 1 when anything is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from time import perf_counter

import holdfast
from examples.demo import documents
from examples.demo.changing import import_cities, look_up_and_change, refuse_a_bad_city
from examples.demo.data import DEFAULT_URL, FOLDER, NAMESPACE, TOKYO, read_cities, start_over
from examples.demo.verdicts import Verdicts, console
from examples.demo.verifying import verify
from examples.demo.watching import (
    PATIENCE_S,
    kill_alone,
    watch_a_task,
    watch_and_kill,
    write_until_killed,
)
from holdfast import Change, Database

#: How many changes are seen before the writer is killed.
SEEN_BEFORE_KILL = 150


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
    watched: list[Change] = []
    console.print(f"[bold]Holdfast {holdfast.__version__}[/] on {database.config.url}\n")

    async def verify_all(db: Database) -> None:
        await verify(db, cities, watched, verdicts)
        await documents.show(db, url, raw, verdicts, console)

    async with database as db:
        await import_cities(db, cities, verdicts)
        await look_up_and_change(db, cities, verdicts)
        await refuse_a_bad_city(db, verdicts)
        shared, persistent = db.capabilities.shared, db.capabilities.persistent
        if not shared:
            watched += await watch_a_task(db, enough, verdicts)
        if not persistent:
            await verify_all(db)
    if persistent:
        kill = watch_and_kill if shared else kill_alone
        watched += await kill(url, enough, verdicts)
        async with holdfast.open(url) as db:
            await verify_all(db)
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
        asyncio.run(documents.write_documents(given.url))
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
