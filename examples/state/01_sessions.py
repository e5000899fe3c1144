"""Sessions: created, renewed by use, gone when nobody comes back."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with (
        keeper() as adapter,
        build_store(adapter, service("web"), scopes=["organization"]) as root,
    ):
        store = root.scope("organization", "org_123")
        await store.kv.set("session:abc", {"user": "ada"}, ttl=0.3)
        for _ in range(3):
            await asyncio.sleep(0.15)
            assert await store.kv.touch("session:abc", 0.3)
        print("renewed by use:", await store.kv.get("session:abc"))
        await asyncio.sleep(0.4)
        print("nobody came back:", await store.kv.get("session:abc"))
        assert await store.kv.get("session:abc") is None


asyncio.run(main())
