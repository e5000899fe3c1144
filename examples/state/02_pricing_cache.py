"""Case A: prices of many shops, computed once each, never seen by another shop."""

import asyncio

from where import keeper, service

from holdfast.state import CachedFunction, build_store

asked: list[str] = []


async def main() -> None:
    scopes = {"store_id": True}
    async with (
        keeper() as adapter,
        build_store(adapter, service("checkout"), scopes=scopes) as root,
    ):

        def prices_of(shop: str) -> CachedFunction[[int], dict[str, object]]:
            @root.scope("store_id", shop).cached(ttl=3600, key="product:{product}:pricing")
            async def pricing(product: int) -> dict[str, object]:
                asked.append(shop)
                await asyncio.sleep(0.01)
                return {"shop": shop, "product": product, "price": 5}

            return pricing

        a, b = prices_of("a"), prices_of("b")
        got = await asyncio.gather(*(a(7) for _ in range(50)))
        assert asked == ["a"]
        assert {one["shop"] for one in got} == {"a"}
        assert (await b(7))["shop"] == "b"
        print("the database was asked by", asked)


asyncio.run(main())
