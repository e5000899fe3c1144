"""What other processes do in tests. They are forked from one server that has it all imported."""

from __future__ import annotations

import asyncio
import contextlib
import io
import multiprocessing
import os
import runpy
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.contract.errors import QuotaExceeded
from holdfast.state import ScopedStore
from tests.state.places import opened_at

opened = opened_at


def run_in_processes(
    work: Callable[..., Any], count: int, *arguments: Any, seconds: float = 50
) -> list[Any]:
    """What `work(number, *arguments)` returns in each of that many processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.state.workers", "holdfast.state.redis.adapter"])
    with context.Pool(count) as pool:
        found: Sequence[Any] = pool.starmap_async(
            work, [(number, *arguments) for number in range(count)], chunksize=1
        ).get(seconds)
    return list(found)


class OneOfMany(NamedTuple):
    """What a process got of what a hundred wanted."""

    up: list[int]
    down: list[int]
    claimed: bool
    shown: bool


def one_of_many(number: int, url: str, service: str, up: int, down: int) -> OneOfMany:
    async def main() -> OneOfMany:
        async with opened(url, service) as store:
            return OneOfMany(
                await asyncio.gather(*(store.counter.increment("up") for _ in range(up))),
                await asyncio.gather(*(store.counter.decrement("down") for _ in range(down))),
                await store.claim.once("job", number, ttl=60),
                bool(await store.limiter.fixed("ad:1:user:2", 3, 86_400)),
            )

    return asyncio.run(main())


def many_clients(number: int, url: str, service: str, clients: int) -> tuple[int, int]:
    """Many clients in one process, each with a connection of its own: claims won, sum of steps."""

    async def client(n: int) -> bool:
        async with opened(url, service) as store:
            await store.counter.increment("a")
            return await store.claim.once("a", n, ttl=60)

    async def main() -> int:
        return sum(await asyncio.gather(*(client(n) for n in range(clients))))

    return asyncio.run(main()), clients


def buys(number: int, url: str, service: str, times: int) -> int:
    async def buy(store: ScopedStore) -> bool:
        try:
            await store.counter.decrement("stock", minimum=0)
        except QuotaExceeded:
            return False
        return True

    async def main() -> int:
        async with opened(url, service) as store:
            return sum(await asyncio.gather(*(buy(store) for _ in range(times))))

    return asyncio.run(main())


def add_to_filter(number: int, url: str, service: str, items: int) -> int:
    """How many items were new when this process added them."""

    async def main() -> int:
        async with opened(url, service) as store:
            calls = (store.bloom.add("shared", f"item {n}") for n in range(items))
            return sum(await asyncio.gather(*calls))

    return asyncio.run(main())


def runs_example(number: int, path: str, folder: str, url: str | None) -> tuple[str, str]:
    """What an example prints, and how it failed; it runs as it would by its name."""
    os.chdir(folder)
    os.environ.pop("STATE_URL", None)
    if url is not None:
        os.environ["STATE_URL"] = url
    sys.path.insert(0, str(Path(path).parent))
    printed = io.StringIO()
    with warnings.catch_warnings(action="error"), contextlib.redirect_stdout(printed):
        try:
            runpy.run_path(path, run_name="__main__")
        except BaseException:
            return printed.getvalue(), traceback.format_exc()
    return printed.getvalue(), ""


def passes_limit(number: int, url: str, service: str, times: int) -> int:
    async def main() -> int:
        async with opened(url, service) as store:
            calls = (store.limiter.sliding("ip", 100, 60) for _ in range(times))
            return sum(map(bool, await asyncio.gather(*calls)))

    return asyncio.run(main())


def holds(number: int, url: str, service: str, permits: int) -> int:
    """The most holders this process has seen while it held a place."""

    async def main() -> int:
        async with opened(url, service) as store:
            most = 0
            for _ in range(3):
                async with store.semaphore.permit("a", permits, ttl=5, wait=30):
                    inside = await store.counter.increment("inside")
                    most = max(most, inside)
                    await asyncio.sleep(0.01)
                    await store.counter.decrement("inside")
            return most

    return asyncio.run(main())
