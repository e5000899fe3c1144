"""Case N: the same ad at most three times a day."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("ads")) as store:

        async def show(user: int) -> bool:
            return bool(await store.limiter.fixed(f"ad:1:user:{user}", 3, 86_400))

        shown = await asyncio.gather(*(show(7) for _ in range(50)))
        print("shown", sum(shown), "times")
        assert sum(shown) == 3
        assert await show(8)


asyncio.run(main())
