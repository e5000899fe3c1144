"""Case F: a slow job's result is polled for, and forgotten half an hour later."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("pdf")) as store:

        async def work() -> None:
            await asyncio.sleep(0.1)
            await store.kv.set("job:1:result", {"url": "https://example.org/1.pdf"}, ttl=1800)

        assert await store.kv.get("job:1:result") is None
        working = asyncio.create_task(work())
        polls = 0
        while (result := await store.kv.get("job:1:result")) is None:
            polls += 1
            await asyncio.sleep(0.02)
        await working
        left = await store.kv.remaining("job:1:result")
        print("pending", polls > 0, "then", result, "kept for", round(left or 0), "s")
        assert 1790 < (left or 0) <= 1800


asyncio.run(main())
