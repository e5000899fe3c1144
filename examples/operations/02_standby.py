"""A warm standby: it follows, is read meanwhile, and takes over."""

import asyncio

import holdfast
from holdfast.backups.following import Round

SOURCE, STANDBY = "lmdb:///app", "sqlite:///standby.db"


async def main() -> None:
    level = asyncio.Queue[int]()
    loop = asyncio.get_running_loop()

    def told(one: Round) -> None:
        loop.call_soon_threadsafe(level.put_nowait, one.revision)

    async with holdfast.open(SOURCE) as db:
        await db.entries.set("orders:1", {"total": 42})
        following = asyncio.create_task(
            holdfast.follow(SOURCE, STANDBY, interval=0.01, progress=told)
        )
        last = (await db.entries.set("orders:2", {"total": 7})).revision
        while await level.get() < last:
            pass
        async with holdfast.open(STANDBY, read_only=True) as standby:
            print("the standby has", [str(key) async for key in standby.entries.keys("orders/#")])
        try:
            await holdfast.open(STANDBY)
        except holdfast.ReadOnly:
            print("nobody else writes to it")
        following.cancel()
        await asyncio.wait([following])

    # The source is lost.
    promoted = await holdfast.promote(STANDBY)
    print("it has its source as of revision", promoted.followed)
    async with holdfast.open(STANDBY) as db:
        entry = await db.entries.set("orders:3", {"total": 1})
        print("and goes on with revision", entry.revision)


asyncio.run(main())
