"""Operations a second through the whole stack, beside plain redis-py, on one server in one run.

python -m tests.state.figures [seconds per figure]
"""

# ruff: noqa: T201 - its output is its purpose

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis import asyncio as redis_py

import holdfast
from holdfast.state import MockStoreAdapter, RedisAdapter, StoreBuilder
from holdfast.state.telemetry import TelemetryEvent
from tests.state.conftest import RedisServer

TASKS = (1, 16, 64, 256)
ROUNDS = 3
VALUE = "x" * 100
KEYS = [f"k{n}" for n in range(10)]

Work = Callable[[], Awaitable[Any]]


class Counting:
    """Telemetry that somebody listens to."""

    count = 0

    def emit(self, event: TelemetryEvent) -> None:
        self.count += 1


async def rate(work: Work, tasks: int, seconds: float) -> tuple[float, float]:
    """Operations a second, and the 99th percentile of their time in milliseconds."""
    until = time.perf_counter() + seconds
    took: list[float] = []

    async def one() -> None:
        while (began := time.perf_counter()) < until:
            await work()
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(tasks)))
    spent = time.perf_counter() - began
    return len(took) / spent, sorted(took)[int(len(took) * 0.99)] * 1000


async def main(server: RedisServer, seconds: float) -> None:
    builder = StoreBuilder.create().with_adapter(RedisAdapter.from_url(server.url))
    store = builder.with_service("figures").build()
    watched = builder.with_service("watched").with_telemetry(Counting()).build()
    plain = redis_py.Redis.from_url(server.url, max_connections=300)
    await store.batch.set(dict.fromkeys(KEYS, VALUE))
    await watched.batch.set(dict.fromkeys(KEYS, VALUE))
    await plain.mset(dict.fromkeys(KEYS, VALUE))
    rivals: dict[str, dict[str, Work]] = {
        "get": {
            "holdfast": lambda: store.kv.get("k1"),
            "holdfast, telemetry on": lambda: watched.kv.get("k1"),
            "redis-py": lambda: plain.get("k1"),
        },
        "set": {
            "holdfast": lambda: store.kv.set("k1", VALUE),
            "holdfast, telemetry on": lambda: watched.kv.set("k1", VALUE),
            "redis-py": lambda: plain.set("k1", VALUE),
        },
        "increment": {
            "holdfast": lambda: store.counter.increment("c"),
            "redis-py": lambda: plain.incr("c"),
        },
        "publish": {
            "holdfast": lambda: store.events.publish("a", VALUE),
            "redis-py": lambda: plain.publish("a", VALUE),
        },
        "batch of 10": {
            "holdfast": lambda: store.batch.get(KEYS),
            "redis-py": lambda: plain.mget(KEYS),
        },
        "append": {
            "holdfast": lambda: store.streams.append("s", VALUE, max_len=1000, approximate=True),
            "redis-py": lambda: plain.xadd("s", {"data": VALUE}, maxlen=1000),
        },
    }
    print("| operation | tasks | who | ops/s | p99 ms |\n|---|---|---|---|---|")
    for operation, works in rivals.items():
        for tasks in TASKS:
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
            for _ in range(ROUNDS):  # Interleaved, so that a noisy moment hits all.
                for name, work in works.items():
                    found[name].append(await rate(work, tasks, seconds))
            for name, figures in found.items():
                speed = statistics.median(one for one, _ in figures)
                slowest = statistics.median(one for _, one in figures)
                print(
                    f"| {operation} | {tasks} | {name} | {speed:,.0f} | {slowest:.2f} |", flush=True
                )
    await store.close()
    await plain.aclose()


async def embedded(url: str, seconds: float) -> None:
    """The same on a database."""
    async with holdfast.open(url) as db:
        store = StoreBuilder.create().with_adapter(db).with_service("figures").build()
        await store.batch.set(dict.fromkeys(KEYS, VALUE))
        works: dict[str, Work] = {
            "get": lambda: store.kv.get("k1"),
            "set": lambda: store.kv.set("k1", VALUE),
            "increment": lambda: store.counter.increment("c"),
            "publish": lambda: store.events.publish("a", VALUE),
            "batch of 10": lambda: store.batch.get(KEYS),
            "append": lambda: store.streams.append("s", VALUE, max_len=1000, approximate=True),
        }
        for operation, work in works.items():
            for tasks in TASKS:
                speed, slowest = await rate(work, tasks, seconds)
                print(f"| {operation} | {tasks} | embedded | {speed:,.0f} | {slowest:.2f} |")


async def in_process(seconds: float = 0.3) -> None:
    """What an operation costs without a server, and a key."""
    store = StoreBuilder.create().with_adapter(MockStoreAdapter()).with_service("f").build()
    await store.kv.set("a", VALUE)
    speed, _ = await rate(lambda: store.kv.get("a"), 1, seconds)
    space = store._scene.keys.area("kv")
    began = time.perf_counter()
    for _ in range(100_000):
        space("settings:theme")
    print(f"\nkv.get on the mock adapter: {1e6 / speed:.2f} µs; ", end="")
    print(f"a key: {(time.perf_counter() - began) * 1e4:.0f} ns")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            asyncio.run(main(server, float(sys.argv[1]) if len(sys.argv) > 1 else 0.3))
            asyncio.run(embedded(f"lmdb:///{folder}/db?durability=relaxed", 0.3))
            asyncio.run(in_process())
        finally:
            server.kill()
