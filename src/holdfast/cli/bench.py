"""The command bench: how fast this machine's disk lets an engine be, in a few seconds.

It measures in a database of its own, which is gone afterwards: beside the one of `--url`, with
its settings, or in a temporary folder.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.progress import progress
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.runtime import SystemClock
from holdfast.database.handle import Database
from holdfast.database.open import open
from holdfast.store.registry import engine_class, read_config

#: How many keys the reads are spread over.
KEYS = 1_000
#: How many tasks write at the same time where a group commits.
TASKS = 64
#: How many runs of an operation stand between two looks at the clock.
RUNS_AT_ONCE = 16
#: How many writes one transaction commits.
WRITES = 10
#: How many single times of one measure are kept for its percentiles.
TIMES_MAX = 100_000
VALUE_BYTES = 1_000


class Measure(NamedTuple):
    """One row of the result.

    Attributes:
        name: what was done.
        per_second: how often.
        microseconds: how long each took; with several tasks, the time between two of them.
        p50_microseconds, p99_microseconds: half of them, and 99 of 100, took no longer from call
            to return; None for a scan, whose entries are not called for one by one.
    """

    name: str
    per_second: float
    microseconds: float
    p50_microseconds: float | None = None
    p99_microseconds: float | None = None


class Times:
    """Single times in seconds, evenly chosen when there are too many to keep."""

    def __init__(self) -> None:
        self.kept: list[float] = []
        self._each = 1
        self._seen = 0

    def add(self, seconds: float) -> None:
        self._seen += 1
        if self._seen % self._each:
            return
        self.kept.append(seconds)
        if len(self.kept) >= TIMES_MAX:
            del self.kept[::2]
            self._each *= 2

    def microseconds(self, share: float) -> float | None:
        """The time that this share of all took at most."""
        if not self.kept:
            return None
        ordered = sorted(self.kept)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1e6


class Resources(NamedTuple):
    """What the whole run took.

    Attributes:
        processor_seconds: of this process, its threads included.
        memory_bytes: the most it had in memory at once; None where the system does not tell.
        disk_bytes: of the files of the database in the end.
    """

    processor_seconds: float
    memory_bytes: int | None
    disk_bytes: int


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
    """Measure set, commit, group commit, get and scan on this machine's disk, in a few seconds.

    Values have 1 kB. Each set writes value, metadata and change in one commit, flushed before it
    returns unless the URL says durability=relaxed.
    """
    with _config(url, engine) as config:
        processor = sum(os.times()[:2])
        measures = opening.run(_measure(config, seconds))
        durability = config.durability
        taken = Resources(sum(os.times()[:2]) - processor, _memory(), _disk(config))
    if as_json:
        shown.document(
            {
                "engine": config.scheme,
                "durability": durability,
                "value_bytes": VALUE_BYTES,
                "measures": [measure._asdict() for measure in measures],
                "resources": taken._asdict(),
            }
        )
        return exits.OK
    shown.table(
        f"{config.scheme}, durability {durability}, values of {VALUE_BYTES:,} bytes",
        ["operation", "per-second", "microseconds", "p50", "p99"],
        [
            (
                measure.name,
                f"{measure.per_second:,.0f}",
                f"{measure.microseconds:,.1f}",
                _shown(measure.p50_microseconds),
                _shown(measure.p99_microseconds),
            )
            for measure in measures
        ],
        right="per-second microseconds p50 p99",
    )
    memory = "" if taken.memory_bytes is None else f", {taken.memory_bytes:,} bytes of memory"
    shown.line(
        f"{taken.processor_seconds:.1f} s of the processor{memory}, "
        f"{taken.disk_bytes:,} bytes on disk"
    )
    return exits.OK


def _shown(microseconds: float | None) -> str:
    return "" if microseconds is None else f"{microseconds:,.1f}"


def _memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    with suppress(OSError):
        # The other figure begins with what the process that started this one took.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _disk(config: EngineConfig) -> int:
    """The size of the files of the database, which is the only thing in its folder."""
    if not isinstance(config, PathConfig):
        return 0
    return sum(file.stat().st_size for file in config.path.parent.rglob("*") if file.is_file())


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
        (f"commit of {WRITES} writes", _commit),
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


async def _commit(db: Database, seconds: float) -> Measure:
    count = itertools.count()

    async def one() -> None:
        async with db.transaction() as transaction:
            for _ in range(WRITES):
                number = next(count)
                await transaction.entries.set(f"bench:{number % KEYS}", _value(number))

    return await _repeat(one, seconds, runs_at_once=1)


async def _set_together(db: Database, seconds: float) -> Measure:
    clock = SystemClock()
    times = Times()
    written = 0
    end = clock.monotonic() + seconds

    async def writer(task: int) -> None:
        nonlocal written
        for number in itertools.count():
            begun = clock.monotonic()
            if begun >= end:
                return
            await db.entries.set(f"bench/{task}:{number % KEYS}", _value(number))
            times.add(clock.monotonic() - begun)
            written += 1

    start = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(writer(task))
    return _measured(written, clock.monotonic() - start, times)


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
    times = Times()
    start = clock.monotonic()
    runs = 0
    while clock.monotonic() < start + seconds:
        # Looking at the clock costs as much as a tenth of a get, so the rate is of unwatched runs.
        for _ in range(runs_at_once - 1):
            await one()
        begun = clock.monotonic()
        await one()
        times.add(clock.monotonic() - begun)
        runs += runs_at_once
    return _measured(runs, clock.monotonic() - start, times)


def _measured(runs: int, seconds: float, times: Times | None = None) -> Measure:
    p50, p99 = (times.microseconds(0.5), times.microseconds(0.99)) if times else (None, None)
    return Measure("", runs / seconds, seconds / max(1, runs) * 1e6, p50, p99)
