"""The command bench: how fast this machine's disk lets an engine be, in a few seconds.

It measures in a database of its own, which is gone afterwards: beside the one of `--url`, with
its settings, or in a temporary folder.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from holdfast.cli import exits, options, shown
from holdfast.cli.progress import progress
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.runtime import SystemClock
from holdfast.database.handle import Database
from holdfast.database.opening import open
from holdfast.store.registry import engine_class, read_config

#: How many keys the reads are spread over.
KEYS = 1_000
#: How many tasks write at the same time where a group commits.
TASKS = 64
#: How many runs of an operation stand between two looks at the clock.
RUNS_AT_ONCE = 16
VALUE_BYTES = 1_000


class Measure(NamedTuple):
    """One row of the result.

    Attributes:
        name: what was done.
        per_second: how often.
        microseconds: how long each took; with several tasks, the time between two of them.
    """

    name: str
    per_second: float
    microseconds: float


def bench(
    url: options.Url = "",
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="NAME", help="In a temporary folder: lmdb, sqlite, ..."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.05, max=60, help="For each measure.")
    ] = 1.0,
    as_json: options.AsJson = False,
) -> int:
    """Measure set, group commit, get and scan on this machine's disk, in a few seconds.

    Values have 1 kB. Each set writes value, metadata and change in one commit, flushed before it
    returns unless the URL says durability=relaxed.
    """
    with _config(url, engine) as config:
        measures = options.run(_measure(config, seconds))
        durability = config.durability
    if as_json:
        shown.document(
            {
                "engine": config.scheme,
                "durability": durability,
                "value_bytes": VALUE_BYTES,
                "measures": [measure._asdict() for measure in measures],
            }
        )
        return exits.OK
    shown.table(
        f"{config.scheme}, durability {durability}, values of {VALUE_BYTES:,} bytes",
        ["operation", "per-second", "microseconds"],
        [
            (measure.name, f"{measure.per_second:,.0f}", f"{measure.microseconds:,.1f}")
            for measure in measures
        ],
        right="per-second microseconds",
    )
    return exits.OK


@contextmanager
def _config(url: str, engine: str | None) -> Iterator[EngineConfig]:
    """The configuration of a fresh database, removed at the end."""
    beside = bool(url) and engine is None
    if beside:
        config = read_config(url)
    else:
        kind = engine_class(engine or "lmdb").config_type
        config = kind(path=Path("database")) if issubclass(kind, PathConfig) else kind()
    if not isinstance(config, PathConfig):
        yield config
        return
    parent = None
    if beside:
        parent = config.path.resolve().parent
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=parent))
    try:
        yield replace(config, path=folder / "database", create=True, read_only=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(config: EngineConfig, seconds: float) -> list[Measure]:
    measures = []
    steps: list[tuple[str, Callable[[Database, float], Awaitable[Measure]]]] = [
        ("set, one by one", _set),
        (f"set, {TASKS} tasks at once", _set_together),
        ("get with its value", _get),
        ("scan of entries", _scan),
    ]
    async with open(config) as db:
        with progress("bench", len(steps)) as done:
            for number, (_, step) in enumerate(steps):
                done(number)
                measures.append(await step(db, seconds))
    return [measure._replace(name=name) for (name, _), measure in zip(steps, measures, strict=True)]


def _value(number: int) -> dict[str, Any]:
    return {"number": number, "text": f"{number:08d}".ljust(VALUE_BYTES - 20, "x")}


async def _set(db: Database, seconds: float) -> Measure:
    for start in range(0, KEYS, 100):
        await db.entries.set_many(
            {f"bench:{number}": _value(number) for number in range(start, start + 100)}
        )
    count = itertools.count()

    async def one() -> None:
        number = next(count)
        await db.entries.set(f"bench:{number % KEYS}", _value(number))

    return await _repeat(one, seconds, runs_at_once=1)


async def _set_together(db: Database, seconds: float) -> Measure:
    clock = SystemClock()
    written = 0
    end = clock.monotonic() + seconds

    async def writer(task: int) -> None:
        nonlocal written
        for number in itertools.count():
            if clock.monotonic() >= end:
                return
            await db.entries.set(f"bench/{task}:{number % KEYS}", _value(number))
            written += 1

    start = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(writer(task))
    return _measured(written, clock.monotonic() - start)


async def _get(db: Database, seconds: float) -> Measure:
    numbers = itertools.cycle(range(KEYS))

    async def one() -> None:
        entry = await db.entries.require(f"bench:{next(numbers)}")
        assert entry.value

    return await _repeat(one, seconds, runs_at_once=RUNS_AT_ONCE)


async def _scan(db: Database, seconds: float) -> Measure:
    clock = SystemClock()
    start = clock.monotonic()
    read = 0
    while clock.monotonic() < start + seconds:
        async for entry in db.entries.items("bench:+"):
            assert entry.value
            read += 1
    return _measured(read, clock.monotonic() - start)


async def _repeat(
    one: Callable[[], Awaitable[None]], seconds: float, *, runs_at_once: int
) -> Measure:
    clock = SystemClock()
    start = clock.monotonic()
    runs = 0
    while clock.monotonic() < start + seconds:
        for _ in range(runs_at_once):
            await one()
        runs += runs_at_once
    return _measured(runs, clock.monotonic() - start)


def _measured(runs: int, seconds: float) -> Measure:
    return Measure("", runs / seconds, seconds / max(1, runs) * 1e6)
