"""How fast, beside the raw driver on the same connections in the same run."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from benchmarks.contract_probe import trials
from benchmarks.contract_probe.postgres_probe import PostgresProbe, rows
from benchmarks.contract_probe.redis_probe import RedisProbe
from benchmarks.contract_probe.servers import postgres_server, redis_server
from holdfast.contract.batch import Append, Batch, CheckKey, CheckRange, DeleteRange, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range, Record

TASKS = (1, 16, 64)
ROUNDS = 3
ROUND_S = 0.5

#: Each task goes around so many keys of its own.
KEYS = 500


#: What one task does over and over: (task, number of the call).
Act = Callable[[int, int], Awaitable[object]]


@dataclass
class Figures:
    """Of one act at one number of tasks, one entry per round."""

    rates: list[float] = field(default_factory=list)
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        rate, p50, p99 = map(statistics.median, (self.rates, self.p50s, self.p99s))
        return f"{rate:,.0f} ({p50:.2f} / {p99:.2f})"


async def measure() -> None:
    """Print the tables of `decisions/0001`."""
    print(f"Figures on {platform.machine()}, {os.cpu_count()} cores, Python", end=" ")
    print(f"{platform.python_version()}: calls per second (p50 / p99 in ms),")
    print(f"median of {ROUNDS} interleaved rounds of {ROUND_S} s")
    for appendfsync in ("always", "everysec"):
        with redis_server(appendfsync=appendfsync) as server:
            sites = trials.redis_sites(server)
            await _table(f"Redis, appendfsync {appendfsync}", sites, _raw_redis)
            if appendfsync == "always":
                await _prices(sites[0])
    for synchronous_commit in ("on", "off"):
        with postgres_server(synchronous_commit=synchronous_commit) as server:
            sites = trials.postgres_sites(server)
            title = f"PostgreSQL, synchronous_commit {synchronous_commit}"
            await _table(title, sites, _raw_postgres)
            if synchronous_commit == "on":
                await _prices(sites[0])


async def _table(
    title: str,
    sites: Sequence[trials.Site],
    raw: Callable[[Engine], Awaitable[dict[str, Act]]],
) -> None:
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(site.engine()) for site in sites]
        acts = await raw(engines[0]) | {"read, one key": _reads(engines[0])}
        for engine in engines:
            acts |= _writes(engine)
        results = {name: {tasks: Figures() for tasks in TASKS} for name in acts}
        for act in acts.values():  # Connections are made, statements prepared, rows put there.
            await _round(act, max(TASKS), 0.2)
        for _, (name, act), tasks in itertools.product(range(ROUNDS), acts.items(), TASKS):
            rate, p50, p99 = await _round(act, tasks, ROUND_S)
            figures = results[name][tasks]
            figures.rates.append(rate)
            figures.p50s.append(p50)
            figures.p99s.append(p99)
        print(f"\n### {title}\n")
        _print_row("", *(f"{tasks} task{'s' * (tasks > 1)}" for tasks in TASKS))
        _print_row("---", *("---" for _ in TASKS))
        for name, by_tasks in results.items():
            _print_row(name, *by_tasks.values())
        print(f"\nOne hot key, {max(TASKS)} tasks:")
        for engine in engines:
            print(f"  {_label(engine)}: {await _contention(engine)}")


async def _round(act: Act, tasks: int, seconds: float) -> tuple[float, float, float]:
    """(calls per second, p50 in ms, p99 in ms)."""
    taken: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    async def works(task: int) -> None:
        before = time.perf_counter()
        for number in itertools.count():
            if before >= end:
                return
            await act(task, number)
            now = time.perf_counter()
            taken.append((now - before) * 1e3)
            before = now

    await asyncio.gather(*map(works, range(tasks)))
    total_s = time.perf_counter() - start
    taken.sort()
    return len(taken) / total_s, taken[len(taken) // 2], taken[len(taken) * 99 // 100]


# --- What is measured -----------------------------------------------------------------------


def _writes(engine: Engine) -> dict[str, Act]:
    async def commits(task: int, number: int) -> None:
        await engine.commit(_batch(task, number))

    async def transacts_hot(_task: int, _number: int) -> None:
        while not await _increments(engine, b"hot"):
            pass

    async def transacts_apart(task: int, number: int) -> None:
        while not await _increments(engine, _key(task, number)):
            pass

    label = _label(engine)
    return {
        f"commit of 4 operations, {label}": commits,
        f"transact on one hot key, {label}": transacts_hot,
        f"transact on distinct keys, {label}": transacts_apart,
    }


def _reads(engine: Engine) -> Act:
    async def reads(task: int, number: int) -> None:
        await engine.read([b"entry/" + _key(task, number)])

    return reads


async def _raw_redis(engine: Engine) -> dict[str, Act]:
    assert isinstance(engine, RedisProbe)

    async def sets(task: int, number: int) -> None:
        async with engine.session() as client:
            await client.set(b"raw/" + _key(task, number), _value(number))

    async def sets_four(task: int, number: int) -> None:
        key = _key(task, number)
        async with engine.session() as client, client.pipeline(transaction=True) as pipeline:
            pipeline.set(b"raw/" + key, _value(number))
            pipeline.set(b"raw-index/" + key, b"")
            pipeline.set(b"raw-metadata/" + key, b"0123456789")
            pipeline.rpush(b"raw-feed", key)
            await pipeline.execute()

    async def gets(task: int, number: int) -> None:
        async with engine.session() as client:
            await client.get(b"raw/" + _key(task, number))

    return {"raw SET": sets, "raw MULTI of 3 SET, RPUSH": sets_four, "raw GET": gets}


async def _raw_postgres(engine: Engine) -> dict[str, Act]:
    assert isinstance(engine, PostgresProbe)
    insert = (
        "INSERT INTO raw VALUES (%b, %b) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    select = "SELECT value FROM raw WHERE key = %b"
    async with engine.connection() as connection:
        await connection.execute("CREATE TABLE raw (key bytea PRIMARY KEY, value bytea NOT NULL)")

    async def inserts(task: int, number: int) -> None:
        async with engine.connection() as connection:
            await connection.execute(insert, [_key(task, number), _value(number)])

    async def inserts_four(task: int, number: int) -> None:
        key = _key(task, number)
        async with (
            engine.connection() as connection,
            connection.pipeline(),
            connection.transaction(),
        ):
            await connection.execute(insert, [key, _value(number)])
            await connection.execute(insert, [b"index/" + key, b""])
            await connection.execute(insert, [b"metadata/" + key, b"0123456789"])
            await connection.execute(insert, [b"feed/%d/" % number + key, key])

    async def selects(task: int, number: int) -> None:
        async with engine.connection() as connection:
            await rows(connection, select, [_key(task, number)])

    return {
        "raw INSERT ON CONFLICT": inserts,
        "raw 4 INSERT, one transaction, pipelined": inserts_four,
        "raw SELECT": selects,
    }


async def _contention(engine: Engine) -> str:
    """How often `decide` ran for each transaction that was done, and how many were given up."""
    done = given_up = 0
    decisions: list[None] = []

    async def act(_task: int, _number: int) -> None:
        nonlocal done, given_up
        if await _increments(engine, b"hot", decisions):
            done += 1
        else:
            given_up += 1

    await _round(act, max(TASKS), ROUND_S)
    share = given_up / (done + given_up)
    return f"{len(decisions) / max(done, 1):.1f} decisions each, {share:.1%} given up"


async def _prices(site: trials.Site) -> None:
    """What single operations add to a commit, for one caller."""
    wide = [Put(b"wide/%06d" % number, _value(number)) for number in range(1000)]
    async with site.engine() as engine:
        mark = (await engine.commit(Batch(wide))).revision
        ranges = {n: Range(b"wide/", b"wide/%06d" % n) for n in (100, 1000)}
        put = Put(b"entry/a", _value(1))
        price_list: dict[str, Callable[[int], Batch]] = {
            "Put of 1 KB": lambda _: Batch([put]),
            "the same, with an id": lambda number: Batch([put], b"%d" % number),
            "the same, previous asked for": lambda _: Batch([put], previous=True),
            "the same, CheckKey": lambda _: Batch([CheckKey(b"none", None), put]),
            "CheckKey alone": lambda _: Batch([CheckKey(b"none", None)]),
            "Put of 1 KB, Put, Put, Append": lambda number: _batch(0, number),
            "Put, CheckRange of 100 rows": lambda _: Batch(
                [CheckRange(ranges[100], mark, 100), put]
            ),
            "Put, CheckRange of 1,000 rows": lambda _: Batch(
                [CheckRange(ranges[1000], mark, 1000), put]
            ),
            "100 Append": lambda _: Batch([Append(b"feed/", b"0123456789")] * 100),
            "100 Append, DeleteRange of the 100": lambda _: Batch(
                [*[Append(b"log/", b"")] * 100, DeleteRange(Range.prefix(b"log/"))]
            ),
        }
        print(f"\n### Price of one commit, {_label(engine)}, one caller\n")
        _print_row("batch", "p50 ms", "in the server µs")
        _print_row("---", "---", "---")
        for name, make in price_list.items():
            if isinstance(engine, RedisProbe):
                await engine.client.config_resetstat()

            async def act(_task: int, number: int, make: Callable[[int], Batch] = make) -> None:
                await engine.commit(make(number))

            await _round(act, 1, 0.05)
            _, p50, _ = await _round(act, 1, 0.3)
            _print_row(name, f"{p50:.3f}", await _script_us(engine))
        if isinstance(engine, RedisProbe):
            print(f"\nMemory of 20,000 rows: {await _memory(engine)}")


async def _script_us(engine: Engine) -> str:
    """What Redis says a script took of its one thread, on average."""
    if not isinstance(engine, RedisProbe):
        return "not told"
    statistics_by_command = await engine.client.info("commandstats")
    return f"{statistics_by_command['cmdstat_evalsha']['usec_per_call']:.0f}"


async def _memory(engine: RedisProbe) -> str:
    """Bytes per row of 24-byte key and 1 KB value, beside what SET takes."""

    async def used() -> int:
        return int((await engine.client.info("memory"))["used_memory"])

    start = await used()
    for first in range(0, 20_000, 1000):
        numbers = range(first, first + 1000)
        await engine.commit(Batch([Put(b"memory/%017d" % n, _value(n)) for n in numbers]))
    ours = await used() - start
    async with engine.client.pipeline(transaction=False) as pipeline:
        for number in range(20_000):
            pipeline.set(b"plains/%017d" % number, _value(number))
        await pipeline.execute()
    plain = await used() - start - ours
    return f"{ours / 20_000:.0f} bytes a row, SET {plain / 20_000:.0f}"


# --- Small things ---------------------------------------------------------------------------


def _label(engine: Engine) -> str:
    name = type(engine).__name__
    for kind in ("Gathering", "Locking"):
        if name.startswith(kind):
            return kind.lower()
    return "default"


def _print_row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def _key(task: int, number: int) -> bytes:
    return b"%04d/%06d" % (task, number % KEYS)


def _value(number: int) -> bytes:
    """1 KB, different for each number."""
    return b"%016d" % number * 64


def _batch(task: int, number: int) -> Batch:
    key = _key(task, number)
    return Batch(
        [
            Put(b"entry/" + key, _value(number)),
            Put(b"index/" + key, b""),
            Put(b"metadata/" + key, b"0123456789"),
            Append(b"feed/", key),
        ]
    )


async def _increments(engine: Engine, key: bytes, decisions: list[None] | None = None) -> bool:
    """Whether the increment was done; False when it was given up, with nothing written."""

    def decide(records: list[Record | None], _: int) -> Batch:
        if decisions is not None:
            decisions.append(None)
        [record] = records
        return Batch([Put(key, b"%d" % (1 if record is None else int(record.value) + 1))])

    try:
        await engine.transact([key], decide)
    except Conflict:
        return False
    return True
