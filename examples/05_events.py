"""Have functions called when entries change: at once, in the background, from another handle."""

import asyncio

import holdfast


async def main() -> None:
    async with holdfast.open("sqlite:///events.db") as db:
        # A plain function has run when the write returns.
        def audit(change: holdfast.Change) -> None:
            before = change.before and change.before.value
            after = change.after and change.after.value
            print(f"{change.op} {change.key}: {before} -> {after} by {change.modified_by}")

        stop = db.entries.subscribe("cities/#", audit)
        await db.entries.set("cities/is:reykjavik", {"people": 1}, modified_by="ada")
        await db.entries.set("cities/is:reykjavik", {"people": 2}, modified_by="bob")
        await db.entries.delete("cities/is:reykjavik", modified_by="ada")

        # A coroutine function takes its time, and no writer waits for it.
        mailed = asyncio.Queue[str]()

        async def mail(change: holdfast.Change) -> None:
            await asyncio.sleep(0.01)
            await mailed.put(str(change.key))

        db.entries.subscribe("cities/+:capital", mail)
        await db.entries.set("cities/is:capital", "Reykjavik")
        print("mailed about", await mailed.get())

        # Other handles, threads and processes are heard, too; a transaction's changes together.
        stop()
        heard = asyncio.Queue[int]()
        db.entries.subscribe("cities/no:+", lambda change: heard.put_nowait(change.revision))
        async with holdfast.open("sqlite:///events.db") as other, other.transaction() as tx:
            await tx.entries.set("cities/no:oslo", 1)
            await tx.entries.set("cities/no:bergen", 2)
        print("one commit:", await heard.get() == await heard.get())

        for facts in db.subscriptions():
            print(f"{facts.pattern}: {facts.mode}, {facts.delivered} delivered")


asyncio.run(main())
