"""Case E: ten instances, one of them does the work of each minute."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("cron")) as store:
        done: list[tuple[int, int]] = []

        async def instance(number: int, minute: int) -> None:
            if await store.claim.once(f"cleanup:{minute}", f"worker-{number}", ttl=55):
                done.append((minute, number))

        for minute in range(3):
            await asyncio.gather(*(instance(number, minute) for number in range(10)))
        print("worked:", done)
        assert [minute for minute, _ in done] == [0, 1, 2]


asyncio.run(main())
