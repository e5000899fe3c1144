"""Store, change, look back: the first minutes with entries."""

import asyncio

import holdfast


async def main() -> None:
    async with holdfast.open("lmdb:///first-steps") as db:
        entries = db.entries
        await entries.set("cities/jp:tokyo", {"population": 9_733_276}, modified_by="ada")
        city = await entries.modify(
            "cities/jp:tokyo",
            lambda city: {**city, "population": city["population"] + 1},
            modified_by="grace",
            comment="one was born",
        )
        print(city.key, city.value, "version", city.metadata.version)

        async for past in entries.history("cities/jp:tokyo"):
            print("before:", past.value, "by", past.metadata.modified_by)

        # The revision is the token: a write with an old one is refused, and told what won.
        try:
            await entries.set("cities/jp:tokyo", {}, if_revision=city.revision - 1)
        except holdfast.Conflict as conflict:
            print("refused:", conflict.code, "- there is", conflict.current.value)

        await entries.delete("cities/jp:tokyo", modified_by="ada", comment="by mistake")
        back = await entries.undelete("cities/jp:tokyo", modified_by="ada")
        print("back as incarnation", back.metadata.incarnation)


asyncio.run(main())
