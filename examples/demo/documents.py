"""The cities of the demo as documents: queries with and without an index, searches, a live query.

What it finds is compared with plain Python over the same cities.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

import holdfast
from holdfast import Database
from holdfast.documents import F
from holdfast.documents.aggregate import count_, sum_
from holdfast.documents.collection import Collection

COLLECTION = "cities"
COUNTRY = "JP"
#: Where the nearest are looked for: the palace in Kyoto.
PLACE = (35.0254, 135.7621)
#: One city in four scripts, as people type it.
WORDS = ("Kyoto", "Киото", "Κιότο", "קיוטו")
EARTH_RADIUS_METRES = 6_371_008.8
#: How many cities become documents: full text of all their names takes its time.
CITIES_MAX = 10_000
#: Documents of one commit of the import.
BATCH = 1000
#: How many changes the other process makes.
CHANGES = 12
PATIENCE_S = 20.0


class Notes(Protocol):
    """What notes whether something is as it must be."""

    def equal(self, name: str, wanted: Any, found: Any, speed: str = "") -> None: ...


async def show(db: Database, url: str, cities: list[Any], notes: Notes, console: Console) -> None:
    """All of it, on an open database."""
    console.print("\n[bold]The same cities as documents[/]")
    documents = {
        f"{one['geonameid']}": {
            "name": one["name"],
            "names": [one["name"], *one["alternatenames"]],
            "country": one["countrycode"],
            "population": one["population"],
            "place": [one["longitude"], one["latitude"]],
        }
        for one in cities[:CITIES_MAX]
    }
    collection = db.collection(COLLECTION, history="none")
    await fill(collection, documents, notes)
    await the_biggest(collection, documents, notes, console)
    await in_several_scripts(collection, documents, notes, console)
    await nearest_ten(collection, documents, notes, console)
    await by_country(collection, documents, notes, console)
    await stays_current(db, url, collection, notes, console)


async def fill(collection: Collection[Any], documents: dict[str, Any], notes: Notes) -> None:
    """Import them, then make the indexes."""
    start = perf_counter()
    rows = iter(documents.items())
    while batch := dict(itertools.islice(rows, BATCH)):
        await collection.set_many(batch)
    seconds = perf_counter() - start
    speed = f"{len(documents) / seconds:,.0f} documents/s, {BATCH} per commit"
    notes.equal("documents imported", len(documents), await collection.count(), speed)


async def the_biggest(
    collection: Collection[Any], documents: dict[str, Any], notes: Notes, console: Console
) -> None:
    """The ten biggest cities of a country, without an index and with one."""
    asked: dict[str, Any] = {"country": COUNTRY, "order_by": -F.population, "limit": 10}
    without = await collection.find_many(**asked)
    before = await collection.explain(**asked)
    start = perf_counter()
    await collection.create_index("biggest", (F.country, -F.population))
    built = perf_counter() - start
    within = await collection.find_many(**asked)
    after = await collection.explain(**asked)
    table = Table(title=f"top ten by population in {COUNTRY}", title_justify="left")
    for name in ("", "without an index", "with one"):
        table.add_column(name)
    for name, fact in _FACTS.items():
        table.add_row(name, fact(before), fact(after))
    console.print(table)
    console.print(", ".join(f"{one['name']} {one['population']:,}" for one in within))
    wanted = sorted(
        (one["population"] for one in documents.values() if one["country"] == COUNTRY),
        reverse=True,
    )[:10]
    notes.equal("top ten without an index", wanted, [one["population"] for one in without])
    notes.equal(
        "top ten with an index", without, within,
        f"{after['examined']['documents']} instead of {before['examined']['documents']:,} "
        f"documents looked at; built in {built:.1f} s",
    )  # fmt: skip


_FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "stages": lambda plan: " < ".join(_stages(plan["plan"])),
    "index rows looked at": lambda plan: f"{plan['examined']['keys']:,}",
    "documents looked at": lambda plan: f"{plan['examined']['documents']:,}",
    "milliseconds": lambda plan: f"{1000 * plan['seconds']:.2f}",
    "warnings": lambda plan: f"{len(plan['warnings'])}",
}


def _stages(stage: dict[str, Any]) -> list[str]:
    below = _stages(stage["input"]) if "input" in stage else []
    name = stage["stage"] + (f"({stage['index']})" if "index" in stage else "")
    return [name, *below]


async def in_several_scripts(
    collection: Collection[Any], documents: dict[str, Any], notes: Notes, console: Console
) -> None:
    """One city under its names in several scripts."""
    await collection.create_index("words", "names", kind="text")
    found = {}
    start = perf_counter()
    for word in WORDS:
        results = await collection.search(word, limit=3, highlight=["names"])
        if results:
            best = results[0]
            found[word] = best.value["name"]
            shown = (best.highlights or {}).get("names", "")
            console.print(f"search {word}: [bold]{best.value['name']}[/] ({shown})")
    seconds = (perf_counter() - start) / len(WORDS)
    there = any(one["name"] == "Kyoto" for one in documents.values())  # A short demo has fewer.
    notes.equal(
        "found in several scripts", dict.fromkeys(WORDS, "Kyoto") if there else {}, found,
        f"{seconds * 1e3:.1f} ms a search",
    )  # fmt: skip


async def nearest_ten(
    collection: Collection[Any], documents: dict[str, Any], notes: Notes, console: Console
) -> None:
    """The ten cities nearest to a place."""
    await collection.create_index("place", "place", kind="geo")
    near = F.place.near(*PLACE)
    start = perf_counter()
    found = await collection.find_many(near, order_by=F.place.distance(*PLACE), limit=10)
    seconds = perf_counter() - start
    console.print("nearest to the palace:", ", ".join(one["name"] for one in found))
    wanted = sorted(documents.values(), key=lambda one: metres(one["place"]))[:10]
    notes.equal(
        "the nearest ten", [round(metres(one["place"])) for one in wanted],
        [round(metres(one["place"])) for one in found], f"{seconds * 1e3:.1f} ms",
    )  # fmt: skip


def metres(place: list[float]) -> float:
    """How far a place is, along the great circle."""
    longitude, latitude = map(math.radians, place)
    to_latitude, to_longitude = map(math.radians, PLACE)
    chord = (
        math.sin((to_latitude - latitude) / 2) ** 2
        + math.cos(latitude) * math.cos(to_latitude) * math.sin((to_longitude - longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_METRES * math.asin(math.sqrt(chord))


async def by_country(
    collection: Collection[Any], documents: dict[str, Any], notes: Notes, console: Console
) -> None:
    """How many live in the cities of each country."""
    start = perf_counter()
    groups = await collection.group_by(F.country, people=sum_(F.population), n=count_())
    seconds = perf_counter() - start
    most = sorted(groups, key=lambda one: -one["people"])[:5]
    console.print(
        "most in cities:", ", ".join(f"{one['country']} {one['people']:,}" for one in most)
    )
    wanted: Counter[str] = Counter()
    for one in documents.values():
        wanted[one["country"]] += one["population"]
    notes.equal(
        "people in the cities of each country", dict(wanted),
        {one["country"]: one["people"] for one in groups},
        f"{len(documents) / seconds:,.0f} documents/s",
    )  # fmt: skip


async def stays_current(
    db: Database, url: str, collection: Collection[Any], notes: Notes, console: Console
) -> None:
    """A live query that changes while another process writes."""
    console.print(f"\nthe five biggest of {COUNTRY} stay current while somebody else writes ...")
    asked: dict[str, Any] = {"country": COUNTRY, "order_by": -F.population, "limit": 5}
    async with collection.live(**asked) as live:
        shown = [one.key for one in live.results]
        if db.capabilities.shared:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "examples.demo", "--write-documents", "--url", url
            )
            writing: Any = process.wait()
        else:
            writing = write(collection)
        working = asyncio.create_task(writing)
        changes, told_last = 0, False
        async with asyncio.timeout(PATIENCE_S):
            async for change in live:
                changes += 1
                if change.previous >= 0:
                    del shown[change.previous]
                if change.index >= 0:
                    shown.insert(change.index, change.key)
                if changes <= CHANGES:
                    console.print(
                        f"  {change.kind:8}{(change.value or change.before or {})['name']}"
                        f" {change.previous} to {change.index}"
                    )
                told_last |= change.value is not None and bool(change.value.get("last"))
                if told_last and change.last:
                    break
        await working
        wanted = [one.key async for one in collection.query(**asked)]
        notes.equal("what the live query shows", wanted, shown, f"{changes} changes told")
        notes.equal("what it holds", wanted, [one.key for one in live.results])


async def write(collection: Collection[Any]) -> None:
    """What the other process does: cities grow past each other."""
    biggest = [
        one async for one in collection.query(country=COUNTRY, order_by=-F.population, limit=8)
    ]
    top = biggest[0].value["population"]
    for number, one in zip(range(CHANGES), itertools.cycle(reversed(biggest)), strict=False):
        grown: dict[str, Any] = {"population": top + 1 + number}
        if number == CHANGES - 1:
            grown["last"] = True
        await collection.patch(one.key, grown)
        await asyncio.sleep(0.01)


async def write_documents(url: str) -> None:
    """The same as a process of its own."""
    async with holdfast.open(url) as db:
        await write(db.collection(COLLECTION))
