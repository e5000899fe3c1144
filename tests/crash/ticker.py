"""A loop with a ticker of one millisecond, beside which something long is done.

    python -m tests.crash.ticker URL WHAT

WHAT: `text`, `bytes`: set a value of 50 MB and get it; `commits`: durable writes; `wait`: one
write, once a line of input has come after `{"opened": true}`; `{"waiting": true}` then precedes
it. Prints one JSON object per line, at last `{"gap_s": …, "idle_gap_s": …, "busy_s": …,
"took_s": …}`: the longest time between two ticks meanwhile, the same beforehand with nothing to
do, the most processor time that went by between two ticks, how long it took.
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


async def longest_gap(work: asyncio.Task[Any]) -> tuple[float, float]:
    """The longest time between two ticks until the work is done, its end included.

    Returns:
        By the clock, and in processor time of this process where that is less.
    """
    longest = busiest = 0.0
    last, last_busy = time.perf_counter(), time.process_time()
    done = False
    while not done:
        done = work.done()
        await asyncio.sleep(TICK_S)
        now, now_busy = time.perf_counter(), time.process_time()
        longest = max(longest, now - last)
        busiest = max(busiest, min(now - last, now_busy - last_busy))
        last, last_busy = now, now_busy
    await work
    return longest, busiest


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
        idle, _ = await longest_gap(asyncio.ensure_future(asyncio.sleep(IDLE_S)))
        start = time.perf_counter()
        gap, busy = await longest_gap(asyncio.ensure_future(do(db, what, value)))
        took = time.perf_counter() - start
        expected = {"text": "a:big", "bytes": "a:big"}.get(what, "a:small")
        assert await db.entries.has(expected)
    tell(gap_s=gap, idle_gap_s=idle, busy_s=busy, took_s=took)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
