"""Case C: a hundred requests a minute and address; and the seed's own way, which can get stuck."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("gate")) as store:
        said = [await store.limiter.sliding("203.0.113.9", 100, 60) for _ in range(101)]
        print("allowed", sum(one.allowed for one in said), "retry after", said[-1].retry_after)
        assert [one.allowed for one in said] == [True] * 100 + [False]

        # As printed in the seed: whoever dies between the two steps leaves a counter for ever.
        if await store.counter.increment("ratelimit:printed") == 1:
            pass  # Dies here, before counter.expire.
        # In one step it cannot happen.
        await store.counter.increment("ratelimit:one-step", ttl=60)
        assert await store.kv.remaining("ratelimit:one-step") is None  # Another area's key.


asyncio.run(main())
