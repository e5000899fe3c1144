"""Money: a payment that is submitted twice takes effect once, under a number of its own."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("bank")) as store:
        await store.counter.initialise("balance:ada", 100)

        async def pay(request: str, amount: int) -> int | None:
            if not await store.claim.once(f"payment:{request}", request, ttl=86_400):
                return None
            await store.counter.decrement("balance:ada", amount, minimum=0)
            return await store.counter.increment("payments:sequence")

        numbers = await asyncio.gather(pay("r1", 30), pay("r1", 30), pay("r2", 20))
        print("numbers", numbers, "balance", await store.counter.get("balance:ada"))
        assert sorted(one for one in numbers if one is not None) == [1, 2]
        assert await store.counter.get("balance:ada") == 50


asyncio.run(main())
