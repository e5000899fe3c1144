"""Case B: twenty items, five hundred buyers, none sold twice."""

import asyncio

from where import keeper, service

from holdfast.contract.errors import QuotaExceeded
from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("shop")) as store:
        await store.counter.initialise("inventory:42", 20)

        async def buy() -> bool:
            try:
                await store.counter.decrement("inventory:42", minimum=0)
            except QuotaExceeded:
                return False
            return True

        sold = sum(await asyncio.gather(*(buy() for _ in range(500))))
        print("sold", sold, "left", await store.counter.get("inventory:42"))
        assert (sold, await store.counter.get("inventory:42")) == (20, 0)


asyncio.run(main())
