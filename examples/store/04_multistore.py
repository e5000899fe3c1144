"""Many stores: each remembers how it keeps its values; and stores in a folder, on any engine."""

import asyncio

from where import URL

import holdfast


async def main() -> None:
    async with holdfast.open(URL) as db:
        await db.stores.create("plain")
        await db.stores.create("packed", config={"compression": "gzip", "max_versions": 2})
        print(await db.stores.list(), await db.stores.exists("none"))
    async with holdfast.open(URL) as db:
        packed = await db.stores.get("packed")
        print("remembered:", packed.config.compression, packed.config.max_versions)
        for number in range(4):
            await packed.set(b"n", b"%d" % number)
            await packed.save_version()
        print("kept:", await packed.list_versions())
        images = await db.stores.create("images")
        site = (await db.stores.get("plain")).mount(b"img/", images)
        await site.set_many({b"index": b"<html>", b"img/logo": b"<svg>"})
        print("in images:", await images.get(b"logo"), "of the site:", await site.count())

    config = holdfast.MultiStoreConfig("folder", default_engine="sqlite")
    async with holdfast.StoreRoot(config) as root:
        await root.create_store("one")
        await (await root.create_store("two", "memory")).set(b"k", b"v")
        print(await root.list_stores(), config.to_json())


asyncio.run(main())
