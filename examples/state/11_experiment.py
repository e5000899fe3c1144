"""Case J: each user stays in one variant, even when the first two requests race."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("experiment")) as store:
        rolled = iter("ABABABABAB" * 20)

        async def variant(user: int) -> str:
            key = f"new-checkout:user:{user}"
            return await store.kv.get_or_set(key, lambda: next(rolled), ttl=604_800)

        got = await asyncio.gather(*(variant(7) for _ in range(100)))
        print("variants of user 7:", set(got))
        assert len(set(got)) == 1


asyncio.run(main())
