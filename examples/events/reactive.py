"""Reactive updates: a screen that shows the result of a query, and redraws what changes."""

import asyncio

import holdfast
from holdfast.documents import F


async def main() -> None:
    async with holdfast.open("memory://") as db:
        tasks = db.collection("tasks")
        await tasks.set_many({f"t{n}": {"title": f"Task {n}", "due": n} for n in range(3)})
        async with tasks.live(F.done.exists(False), order_by="due") as live:
            screen = [one.value["title"] for one in live.results]
            print(screen)

            async def work() -> None:
                await tasks.patch("t0", {"done": True})
                await tasks.set("urgent", {"title": "Now!", "due": -1})
                await tasks.patch("t2", {"due": 0.5})

            working = asyncio.create_task(work())
            while screen != ["Now!", "Task 2", "Task 1"]:
                change = await asyncio.wait_for(anext(live), 20)
                if change.previous >= 0:
                    screen.pop(change.previous)
                if change.value is not None:
                    screen.insert(change.index, change.value["title"])
            await working
            print(screen)


asyncio.run(main())
