"""What a database holds, how much of its past is kept, and whether all is well."""

import asyncio

import holdfast

URL = "sqlite:///app.db"


async def main() -> None:
    async with holdfast.open(URL) as db:
        for number in range(20):
            await db.entries.set("logs:last", {"n": number})
        await db.collection("cities").set("tokyo", {"population": 9_733_276})

        counted = await db.stats()
        for one in counted.keyspaces:
            parts = {name: size.rows for name, size in sorted(one.parts.items())}
            print(one.view, one.name, parts)
        print("changes in the feed:", counted.feed.rows)

        await db.retention.keep("logs", versions=3)
        await db.retention.keep_feed(changes_max=5)
        given_up = await db.compact()
        print("given up:", given_up.changes, "changes,", given_up.versions, "versions")
        after = await db.stats()
        print("smaller:", after.total_size < counted.total_size)
        print("faults:", await db.check())


asyncio.run(main())
