"""The first parts of the demo: cities are imported, looked up, changed, and held to a schema."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import holdfast
from examples.demo.data import CITY, NAMESPACE, TOKYO, Cities
from examples.demo.verdicts import Verdicts, console
from holdfast import Database, StoreKey

#: Entries of one commit of the import.
BATCH = 500


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
