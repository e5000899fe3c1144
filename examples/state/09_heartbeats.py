"""Case H: services say that they are well; whoever stops is missing from the monitor."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("ops")) as store:

        async def beat(name: str, times: int) -> None:
            for _ in range(times):
                await store.kv.set(f"health:service:{name}", {"status": "ok"}, ttl=0.3)
                await asyncio.sleep(0.1)

        async def alive() -> list[str]:
            services = await store.dev.scan("health:service:*")
            return sorted([key for key in services.keys if await store.kv.get(key)])

        short, long = asyncio.create_task(beat("a", 1)), asyncio.create_task(beat("b", 8))
        await asyncio.sleep(0.05)
        print("at first:", await alive())
        assert len(await alive()) == 2
        await asyncio.sleep(0.5)
        print("then:", await alive())
        assert await alive() == ["health:service:b"]
        await asyncio.gather(short, long)


asyncio.run(main())
