"""Level 4: the result of a query that stays what the query gives."""

import asyncio

import holdfast
from holdfast.documents import F


async def main() -> None:
    async with holdfast.open("memory://") as db:
        scores = db.collection("scores")
        await scores.set_many({"ada": {"points": 7}, "bob": {"points": 5}, "cy": {"points": 3}})
        async with scores.live(order_by=-F.points, limit=2) as top:
            print([one.key for one in top.results])
            await scores.patch("cy", {"points": 9})
            async for change in top:
                print(change.kind, change.key, change.previous, "to", change.index)
                if change.last:
                    break
            print([one.key for one in top.results])


asyncio.run(main())
