"""Old and new side by side: every answer compared, then the cut over, component by component."""

import asyncio

import holdfast
from holdfast.stores.migration import MappingStore, Router, ShadowStore, migrate

OLD = {b"apple": b"3", b"pear": b"4"}


async def main() -> None:
    async with holdfast.open("sqlite:///prices.db") as db:
        legacy, prices = MappingStore("legacy", OLD), await db.stores.open("prices")
        print("copied:", (await migrate(OLD, prices)).written)

        both = ShadowStore(legacy, prices, told=lambda one: print("differs:", one.verb))
        print("apple:", await both.get(b"apple"))
        await both.set(b"plum", b"5")
        print("written to both:", OLD[b"plum"], await prices.get(b"plum"))

        await prices.set(b"pear", b"9")  # Somebody wrote past the shadow.
        print("pear, as the old one says:", await both.get(b"pear"))
        print("compared:", both.compared, "differed:", both.differed)

        router = Router(legacy, prices, {"billing": "old", "web": "new"})
        print("billing:", await router.store("billing").get(b"pear"))
        router.flip("billing", "new")
        print("billing, cut over:", await router.store("billing").get(b"pear"))


asyncio.run(main())
