"""Case I: who is online now."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("social")) as store:
        # As the seed does it, one key each.
        await store.kv.set("online:ada", True, ttl=300)
        assert await store.kv.exists("online:ada")
        # And with the list of all who are there.
        await store.presence.mark("online", "ada", ttl=0.2)
        await store.presence.mark("online", "bob", ttl=300)
        print("online:", list(await store.presence.members("online")))
        await asyncio.sleep(0.3)
        print("a little later:", list(await store.presence.members("online")))
        assert list(await store.presence.members("online")) == ["bob"]


asyncio.run(main())
