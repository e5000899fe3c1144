"""What happens to stores, by topic; and what happens to their keys, from the feed."""

import asyncio

from where import URL

import holdfast


async def main() -> None:
    async with holdfast.open(URL) as db:
        db.stores.subscribe("store.#", lambda event: print(event.topic, event.name))
        ledger = await db.stores.create("ledger", kind="iavl")
        begin = await db.head()
        await ledger.set(b"a", b"1", modified_by="ada")
        async with ledger.transaction() as tx:
            await tx.delete(b"a")
        await ledger.save_version()
        await ledger.load_version(1)
        async with db.watch("ledger/#", view="stores", since=begin) as changes:
            for _ in range(3):
                change = await anext(changes)
                print(change.op, change.key, change.modified_by)
        await ledger.close()
        await db.stores.delete("ledger")


asyncio.run(main())
