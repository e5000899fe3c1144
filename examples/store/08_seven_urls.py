"""One program, and where it keeps its data is one line: it prints the same on each of these.

HOLDFAST_URL=memory://                       lmdb:///app        sqlite:///app.db
             file:///app                     rocksdb:///app     leveldb:///app
             redis://127.0.0.1:6379?prefix=app      postgres://ada@127.0.0.1/app?schema=app
"""

import asyncio

from where import URL

import holdfast


async def main() -> None:
    async with holdfast.open(URL) as db:
        first = await db.entries.set("cities/is:reykjavik", {"people": 118_918}, tags=["capital"])
        await db.entries.set_many(
            {"cities/is:akureyri": {"people": 19_219}, "cities/fo:torshavn": {}}
        )
        await db.entries.modify("cities/is:reykjavik", lambda city: city | {"people": 139_875})
        try:
            await db.entries.set("cities/is:reykjavik", {}, if_revision=first.revision)
        except holdfast.Conflict as conflict:
            print("refused:", conflict.code)

        async with db.transaction() as tx:
            gone = await tx.entries.require("cities/fo:torshavn")
            await tx.entries.delete(gone.key)
            await tx.entries.set("cities/fo:tórshavn", {"people": 14_001})
        print(sorted([str(key) async for key in db.entries.keys("cities/#")]))
        print([str(entry.key) async for entry in db.entries.find_by_tag("capital")])
        async for past in db.entries.history("cities/is:reykjavik"):
            print("was", past.metadata.version, past.value)

        async for change in db.watch("cities/#", since=0):
            print(change.op, change.key, change.after and change.after.value)
            if str(change.key) == "cities/fo:tórshavn":
                break

        store = await db.stores.create("bytes")
        await store.set_many({bytes((1, n)): b"value %d" % n for n in range(5)})
        found = [value async for _, value in store.iterate_range(b"\x01\x01", b"\x01\x04")]
        print(found, await store.count())
        print("check:", await db.check())


asyncio.run(main())
