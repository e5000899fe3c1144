"""Case L: positions of many trucks, the last hundred kept, and a dashboard that looks on."""

import asyncio
import time

from where import keeper, service

from holdfast.state import build_store

TRUCKS, ROUNDS = 100, 30


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("fleet")) as store:

        async def drive(truck: int) -> None:
            for step in range(ROUNDS):
                position = {"lat": truck, "lng": step, "speed": 80}
                await store.streams.append(f"truck:{truck}:gps", position, max_len=10)

        began = time.perf_counter()
        await asyncio.gather(*(drive(truck) for truck in range(TRUCKS)))
        rate = TRUCKS * ROUNDS / (time.perf_counter() - began)
        print(f"{rate:,.0f} positions a second")
        assert await store.streams.length("truck:5:gps") == 10
        latest = await store.streams.tail("truck:5:gps", 3)
        assert [one.message["lng"] for one in latest] == [ROUNDS - 3, ROUNDS - 2, ROUNDS - 1]


asyncio.run(main())
