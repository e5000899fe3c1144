"""A loop with a ticker of one millisecond, beside which something long is done.

    python -m tests.crash.ticker URL WHAT

WHAT: `text`, `bytes`: set a value of 50 MB and get it; `commits`: durable writes; `wait`: one
write, once a line of input has come after `{"opened": true}`; `{"waiting": true}` then precedes
it. Prints one JSON object per line, at last `{"gap_s": …, "idle_gap_s": …, "took_s": …}`: the
longest time between two ticks meanwhile, the same beforehand with nothing to do, how long it took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import holdfast
from tests.crash.writer import tell

TICK_S = 0.001
IDLE_S = 0.4
BIG = 50 * 1024 * 1024
COMMITS = 5


async def longest_gap(work: asyncio.Task[Any]) -> float:
    """The longest time between two ticks until the work is done, its end included."""
    longest, last = 0.0, time.perf_counter()
    done = False
    while not done:
        done = work.done()
        await asyncio.sleep(TICK_S)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await work
    return longest


async def do(db: holdfast.Database, what: str, value: str | bytes) -> None:
    """Do the long thing."""
    if what in ("text", "bytes"):
        await db.entries.set("a:big", value)
        # What its value is made of then is made where it is looked at.
        await db.entries.require("a:big")
    elif what == "commits":
        for number in range(COMMITS):
            await db.entries.set("a:small", number)
    else:
        tell(waiting=True)
        await db.entries.set("a:small", "ours")


async def main(url: str, what: str) -> None:
    """Measure once."""
    value: str | bytes = b"x" * BIG if what == "bytes" else "x" * BIG if what == "text" else ""
    async with holdfast.open(url) as db:
        await db.entries.set("a:small", "first")
        if what == "wait":
            tell(opened=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        idle = await longest_gap(asyncio.ensure_future(asyncio.sleep(IDLE_S)))
        start = time.perf_counter()
        gap = await longest_gap(asyncio.ensure_future(do(db, what, value)))
        took = time.perf_counter() - start
        expected = {"text": "a:big", "bytes": "a:big"}.get(what, "a:small")
        assert await db.entries.has(expected)
    tell(gap_s=gap, idle_gap_s=idle, took_s=took)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
