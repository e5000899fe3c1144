"""State on one server: the whole store, and Python's clients that do the same commands bare.

A rival sends text as it is; the store puts a key together, serialises, observes and maps errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import holdfast
from benchmarks.figures import percentile
from holdfast.state import RedisAdapter, StoreBuilder, build_store
from holdfast.state.telemetry import TelemetryEvent

#: What is measured, in the order of the table: the five rows of the seed, and appending.
OPERATIONS = ("get", "set", "publish", "increment", "batch of 10", "append")
ON_LMDB = "holdfast on lmdb relaxed"
VALUE = "x" * 100
KEYS = [f"k{number}" for number in range(10)]
STREAM_MAX = 10_000
#: Before a figure is taken, each caller makes its connection and is warm.
WARM_S = 0.02

Work = Callable[[], Awaitable[Any]]
#: By operation what one call does.
Works = dict[str, Work]


class Taken(NamedTuple):
    """What one round of one operation gave: calls a second, and the 99th percentile of a call."""

    per_s: float
    p99_ms: float


async def measure(work: Work, tasks: int, seconds: float) -> Taken:
    """So many tasks that call one time after the other."""
    await _calls(work, tasks, WARM_S)
    spent, took = await _calls(work, tasks, seconds)
    return Taken(len(took) / spent, percentile(took, 0.99) * 1000)


async def _calls(work: Work, tasks: int, seconds: float) -> tuple[float, list[float]]:
    began = perf_counter()
    until = began + seconds
    took: list[float] = []

    async def one() -> None:
        # At least one call each: a busy machine may let a short time go by before the first.
        while True:
            before = perf_counter()
            await work()
            took.append(perf_counter() - before)
            if perf_counter() >= until:
                return

    await asyncio.gather(*(one() for _ in range(tasks)))
    return perf_counter() - began, took


class _Listening:
    """Telemetry that somebody listens to."""

    told = 0

    def emit(self, event: TelemetryEvent) -> None:
        self.told += 1


@asynccontextmanager
async def ours(port: int, folder: Path) -> AsyncIterator[dict[str, Works]]:
    """The store on the server, with telemetry off and on; and on a database of this process."""
    adapter = RedisAdapter.from_url(f"redis://127.0.0.1:{port}/0")
    listening = _Listening()
    builder = StoreBuilder.create().with_adapter(adapter)
    stores = {
        "holdfast": builder.with_service("off").build(),
        "holdfast, telemetry on": builder.with_service("on").with_telemetry(listening).build(),
    }
    try:
        async with holdfast.open(f"lmdb:///{folder}/state?durability=relaxed") as db:
            stores[ON_LMDB] = build_store(db, "bench")
            for store in stores.values():
                await store.batch.set(dict.fromkeys(KEYS, VALUE))
            yield {name: store_works(store) for name, store in stores.items()}
        assert listening.told
    finally:
        await adapter.close()


def store_works(store: Any) -> Works:
    """The operations on a store of whatever adapter."""
    return {
        "get": lambda: store.kv.get("k1"),
        "set": lambda: store.kv.set("k1", VALUE),
        "publish": lambda: store.events.publish("a", VALUE),
        "increment": lambda: store.counter.increment("c"),
        "batch of 10": lambda: store.batch.get(KEYS),
        "append": lambda: store.streams.append("s", VALUE, max_len=STREAM_MAX, approximate=True),
    }


@asynccontextmanager
async def redis_py(port: int) -> AsyncIterator[Works]:
    import redis.asyncio

    client: Any = redis.asyncio.Redis(host="127.0.0.1", port=port, max_connections=300)
    await client.mset(dict.fromkeys(KEYS, VALUE))
    try:
        yield {
            "get": lambda: client.get("k1"),
            "set": lambda: client.set("k1", VALUE),
            "publish": lambda: client.publish("a", VALUE),
            "increment": lambda: client.incr("rc"),
            "batch of 10": lambda: client.mget(KEYS),
            "append": lambda: client.xadd("rs", {"data": VALUE}, maxlen=STREAM_MAX),
        }
    finally:
        await client.aclose()


@asynccontextmanager
async def coredis(port: int) -> AsyncIterator[Works]:
    import coredis

    trim: Any = coredis.PureToken
    async with coredis.Redis(host="127.0.0.1", port=port, max_connections=300) as client:
        some: Any = client
        await some.mset(dict.fromkeys(KEYS, VALUE))
        yield {
            "get": lambda: some.get("k1"),
            "set": lambda: some.set("k1", VALUE),
            "publish": lambda: some.publish("a", VALUE),
            "increment": lambda: some.incr("cc"),
            "batch of 10": lambda: some.mget(KEYS),
            "append": lambda: some.xadd(
                "cs", {"data": VALUE}, trim_strategy=trim.MAXLEN,
                trim_operator=trim.APPROXIMATELY, threshold=STREAM_MAX,
            ),
        }  # fmt: skip


@asynccontextmanager
async def valkey_glide(port: int) -> AsyncIterator[Works]:
    import glide

    client: Any = await glide.GlideClient.create(
        glide.GlideClientConfiguration([glide.NodeAddress("127.0.0.1", port)])
    )
    keys: Any = KEYS
    trimmed = glide.StreamAddOptions(trim=glide.TrimByMaxLen(exact=False, threshold=STREAM_MAX))
    try:
        yield {
            "get": lambda: client.get("k1"),
            "set": lambda: client.set("k1", VALUE),
            "publish": lambda: client.publish(VALUE, "a"),
            "increment": lambda: client.incr("gc"),
            "batch of 10": lambda: client.mget(keys),
            "append": lambda: client.xadd("gs", [("data", VALUE)], trimmed),
        }
    finally:
        await client.close()


#: The rivals in Python, by what the tables call them: the module that each wants, and how it opens.
RIVALS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "redis-py": ("redis", redis_py),
    "coredis": ("coredis", coredis),
    "valkey-glide": ("glide", valkey_glide),
}


@asynccontextmanager
async def everybody(
    port: int, folder: Path, *, with_peers: bool
) -> AsyncIterator[tuple[dict[str, Works], list[str]]]:
    """The works of everybody in Python who is installed; and who is missing."""
    async with AsyncExitStack() as stack:
        found = dict(await stack.enter_async_context(ours(port, folder)))
        missing = []
        for name, (module, opened) in RIVALS.items():
            if not with_peers:
                continue
            if find_spec(module) is None:
                missing.append(name)
            else:
                found[name] = await stack.enter_async_context(opened(port))
        yield found, missing
