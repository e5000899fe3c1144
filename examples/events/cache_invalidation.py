"""Cache invalidation: what one process has computed is dropped when another one writes."""

import asyncio
import subprocess
import sys

import holdfast

OTHER = """
import holdfast.sync
with holdfast.sync.open("lmdb:///shop") as db:
    db.collection("prices").set("apple", {"cents": 45})
"""


async def main() -> None:
    async with holdfast.open("lmdb:///shop") as db:
        prices = db.collection("prices")
        await prices.set("apple", {"cents": 30})
        cache: dict[str, str] = {}
        dropped = asyncio.Event()

        def drop(change: holdfast.Change) -> None:
            cache.pop(change.key, None)
            dropped.set()

        async def label(key: str) -> str:
            if key not in cache:
                cents = (await prices.require(key))["cents"]
                cache[key] = f"{key}: {cents / 100:.2f}"
            return cache[key]

        with prices.subscribe("*", drop):
            print(await label("apple"))
            writer = await asyncio.create_subprocess_exec(
                sys.executable, "-c", OTHER, stdout=subprocess.DEVNULL
            )
            await asyncio.wait_for(dropped.wait(), 20)
            await writer.wait()
            print(await label("apple"))


asyncio.run(main())
