"""Watch a namespace, stop, and resume where it stopped."""

import asyncio

import holdfast


async def main() -> None:
    async with holdfast.open("sqlite:///watching.db") as db:
        for population in range(3):
            await db.entries.set("cities/is:reykjavik", population)

        async with db.watch("cities/#", since=0) as changes:
            async for change in changes:
                print(change.revision, change.op, change.key, change.before, "->", change.after)
                if change.after.value == 1:
                    cursor = f"{db.cursor.partition('.')[0]}.{change.revision}"
                    break

    # Another day, another process: the cursor is text and may be kept anywhere.
    async with holdfast.open("sqlite:///watching.db") as db:
        async for change in db.watch("cities/#", since=cursor):
            print("resumed with", change.after.value)
            break

        # The state as it stands, a marker, then what comes.
        async for change in db.watch("cities/#", snapshot=True):
            if change.op == "snapshot_end":
                print("the snapshot was of revision", change.revision)
                break
            print("stands:", change.key, change.after.value)


asyncio.run(main())
