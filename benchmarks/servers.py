"""The engines on Redis and PostgreSQL beside the raw clients that do the same work.

    python -m benchmarks.servers [redis] [postgres]

Starts servers of its own that flush each write. Each pair of figures is taken in turns, in rounds
of half a second, by 1, 16 and 64 tasks; the raw clients have 16 connections. Figures are calls per
second (medians of the rounds); the ratio is the median of raw / ours of each round: below 1 ours is
faster. A commit is Put 1 KB, Put, Put, Append, and so are the raw writes of the same rows.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import redis.asyncio

from holdfast.contract.batch import Append, Batch, Put
from holdfast.contract.engine import Engine
from holdfast.engines.postgres import PostgresConfig, PostgresEngine
from holdfast.engines.redis import RedisConfig, RedisEngine
from holdfast.runtime.system import system_components
from holdfast.testing.subject import increment
from tests.servers.processes import LOOPBACK, postgres_server, redis_server

CROWDS = (1, 16, 64)
ROUNDS = 3
ROUND_S = 0.5
CONNECTIONS = 16
KILOBYTE = bytes(1024)

Call = Callable[[int], Awaitable[object]]
Pair = tuple[str, Call, Call]

_numbers = itertools.count()


def batch(number: int) -> Batch:
    return Batch(
        [Put(b"a%d" % number, KILOBYTE), Put(b"b%d" % number, b"1"), Put(b"c%d" % number, b"2"),
         Append(b"log", b"3")]
    )  # fmt: skip


async def calls_per_second(call: Call, tasks: int) -> float:
    """How many calls so many tasks make in a second, each after the other."""
    begun = time.perf_counter()
    end = begun + ROUND_S

    async def work() -> int:
        count = 0
        while time.perf_counter() < end:
            await call(next(_numbers))
            count += 1
        return count

    counts = await asyncio.gather(*(work() for _ in range(tasks)))
    return sum(counts) / (time.perf_counter() - begun)


async def compare(title: str, pairs: list[Pair]) -> None:
    """Print a table: each pair at each number of tasks."""
    print(f"\n| {title} | " + " | ".join(f"{tasks} tasks" for tasks in CROWDS) + " |")
    print("|---" * (len(CROWDS) + 1) + "|")
    for name, raw, ours in pairs:
        cells = []
        for tasks in CROWDS:
            rounds = [
                (await calls_per_second(raw, tasks), await calls_per_second(ours, tasks))
                for _ in range(ROUNDS)
            ]
            ratio = statistics.median(raw / ours for raw, ours in rounds)
            raws, ourses = (statistics.median(column) for column in zip(*rounds, strict=True))
            cells.append(f"{raws:,.0f} / {ourses:,.0f} = {ratio:.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def verbs(engine: Engine) -> dict[str, Call]:
    return {
        "read": lambda _: engine.read([b"a"]),
        "commit": lambda number: engine.commit(batch(number)),
        "transact": lambda _: engine.transact([b"n"], increment(b"n")),
    }


async def on_redis(port: int) -> None:
    engine = RedisEngine(RedisConfig(host=LOOPBACK, port=port), system_components())
    await engine.open()
    pool = redis.asyncio.BlockingConnectionPool(
        host=LOOPBACK, port=port, max_connections=CONNECTIONS, timeout=None
    )
    client = redis.asyncio.Redis(connection_pool=pool)
    await client.set("a", KILOBYTE)
    await engine.commit(Batch([Put(b"a", KILOBYTE)]))
    add = client.register_script("return redis.call('INCR', KEYS[1])")

    async def four(number: int) -> None:
        async with client.pipeline(transaction=True) as pipeline:
            for name, value in ((f"a{number}", KILOBYTE), (f"b{number}", b"1"),
                                (f"c{number}", b"2"), (f"log{number:020}", b"3")):  # fmt: skip
                pipeline.set(name, value)
            await pipeline.execute()

    ours = verbs(engine)
    await compare("Redis, appendfsync always: raw / ours", [
        ("GET / read", lambda _: client.get("a"), ours["read"]),
        ("MULTI of 4 SET / commit", four, ours["commit"]),
        ("one hot key: script / transact", lambda _: add(keys=["n"]), ours["transact"]),
    ])  # fmt: skip
    await engine.close()
    await client.aclose()
    await pool.disconnect()


async def on_postgres(port: int) -> None:
    engine = PostgresEngine(
        PostgresConfig(host=LOOPBACK, port=port, user="postgres", database="postgres"),
        system_components(),
    )
    await engine.open()
    free: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        free.put_nowait(
            await psycopg.AsyncConnection.connect(
                host=LOOPBACK, port=port, user="postgres", dbname="postgres", autocommit=True,
                prepare_threshold=0,
            )
        )  # fmt: skip

    async def run(*statements: tuple[str, list[Any]]) -> None:
        connection = await free.get()
        try:
            if len(statements) == 1:
                cursor = await connection.execute(*statements[0], binary=True)
                await cursor.fetchall()
                return
            async with connection.pipeline(), connection.transaction():
                for statement, arguments in statements:
                    await connection.execute(statement, arguments, binary=True)
        finally:
            free.put_nowait(connection)

    async with await psycopg.AsyncConnection.connect(
        host=LOOPBACK, port=port, user="postgres", dbname="postgres", autocommit=True
    ) as one:
        await one.execute("CREATE TABLE raw (key bytea PRIMARY KEY, value bytea NOT NULL)")
        await one.execute("INSERT INTO raw VALUES ('a', %b), ('n', '0')", [KILOBYTE])
    await engine.commit(Batch([Put(b"a", KILOBYTE)]))
    get = "SELECT value FROM raw WHERE key = %b::bytea"
    put = (
        "INSERT INTO raw VALUES (%b::bytea, %b::bytea) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    add = (
        "UPDATE raw SET value = convert_to((convert_from(value, 'UTF8')::int + 1)::text, 'UTF8') "
        "WHERE key = %b::bytea RETURNING value"
    )

    async def four(number: int) -> None:
        rows = [(b"a", KILOBYTE), (b"b", b"1"), (b"c", b"2"), (b"log", b"3")]
        await run(*((put, [b"%s%d" % (letter, number), value]) for letter, value in rows))

    ours = verbs(engine)
    await compare("PostgreSQL, synchronous_commit on: raw / ours", [
        ("SELECT / read", lambda _: run((get, [b"a"])), ours["read"]),
        ("4 INSERT ON CONFLICT, pipelined / commit", four, ours["commit"]),
        ("one hot key: UPDATE / transact", lambda _: run((add, [b"n"])), ours["transact"]),
    ])  # fmt: skip
    await engine.close()
    while not free.empty():
        await free.get_nowait().close()


def main(arguments: list[str]) -> int:
    if not set(arguments) <= {"redis", "postgres"}:
        print(__doc__)
        return 2
    for name in arguments or ("redis", "postgres"):
        if name == "redis":
            with redis_server(appendfsync="always") as server:
                asyncio.run(on_redis(server.port))
        else:
            with postgres_server() as server:
                asyncio.run(on_postgres(server.port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
