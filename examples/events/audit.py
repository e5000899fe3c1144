"""An audit: who changed what, whatever process did it, and from when a commit is known."""

import asyncio

import holdfast


async def main() -> None:
    async with holdfast.open("memory://") as db:
        accounts, audit = db.collection("accounts"), db.collection("audit")

        async def record(changes: list[holdfast.Change]) -> None:
            # One call for each commit: what belongs together is written together.
            await audit.set_many(
                {
                    f"{one.revision:012}.{one.index}": {
                        "who": one.modified_by, "what": one.op, "key": one.key,
                        "before": one.before, "after": one.after, "at": one.at,
                    }
                    for one in changes
                }
            )  # fmt: skip

        accounts.on("change", record)
        await accounts.set("a", {"money": 10}, modified_by="ada")
        await accounts.batch([("set", "b", {"money": 1}), ("delete", "a")])
        async with db.transaction() as tx:
            await tx.collection("accounts").set("c", {"money": 5}, modified_by="cy")
            await tx.rollback()  # Nothing happened, so nothing is told.
        async for one in audit.values():
            print(one["who"], one["what"], one["key"], one["before"], "to", one["after"])


asyncio.run(main())
