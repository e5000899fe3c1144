"""Monitoring: how many operations there are, how long they take, and which fail."""

import asyncio
from collections import Counter
from contextlib import suppress
from time import perf_counter

import holdfast
from holdfast.contract.errors import InvalidKey


async def main() -> None:
    counted: Counter[str] = Counter()
    began: dict[str, float] = {}
    slowest: dict[str, float] = {}

    async with holdfast.open("memory://") as db:
        orders = db.collection("orders")

        def begins(key: str, *_: object) -> None:
            began[key] = perf_counter()

        def ends(key: str, *_: object) -> None:
            counted["writes"] += 1
            slowest[key] = max(slowest.get(key, 0), perf_counter() - began[key])

        orders.on("before:set", begins)
        orders.on("after:set", ends)
        orders.on(
            "after:get", lambda _key, value: counted.update(["misses" if value is None else "hits"])
        )
        orders.on("error", lambda error: counted.update([str(error.code)]))

        for number in range(5):
            await orders.set(f"o{number}", {"total": number})
        await orders.get("o1")
        await orders.get("o9")
        with suppress(InvalidKey):
            await orders.get("")
        print(dict(counted))
        print("measured:", len(slowest), "keys, all below a second:", max(slowest.values()) < 1)


asyncio.run(main())
