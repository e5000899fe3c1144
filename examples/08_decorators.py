"""A log of every operation, reads from memory, and a store that only reads."""

import asyncio

import holdfast
from holdfast.contract.errors import ReadOnly


async def main() -> None:
    async with holdfast.open("sqlite:///app.db", logged=True, cached=True) as db:
        print(repr(db.entries).partition("(Engine")[0])

        await db.entries.set("cities/is:reykjavik", {"people": 139_875})
        for _ in range(3):
            await db.entries.get("cities/is:reykjavik")
        cache = (await db.explain())["cache"]
        print(f"{cache['hits']} reads from memory, {cache['misses']} from the database")

        try:
            await db.entries.set("cities/is:reykjavik", {}, if_revision=0)
        except holdfast.Conflict as conflict:
            print("refused, there is", conflict.current.value)

        for_guests = holdfast.ReadOnlyStore(db.entries)
        try:
            await for_guests.delete("cities/is:reykjavik")
        except ReadOnly as error:
            print(error)

        # Also from a shell: holdfast logs --failed --since 1h
        async for record in db.log.query(key="cities/#"):
            print(f"{record.operation:<4} {record.keys[0]} {record.error or 'ok'}")


asyncio.run(main())
