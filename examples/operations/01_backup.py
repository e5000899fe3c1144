"""A full backup, what is newer, and a restore to each of both."""

import asyncio

import holdfast

URL = "sqlite:///app.db"


async def main() -> None:
    async with holdfast.open(URL) as db:
        await db.entries.set("notes:plan", {"text": "draft"})
        monday = await db.backup("monday.backup")
        await db.entries.set("notes:plan", {"text": "final"})
        tuesday = await db.backup("tuesday.backup", since="monday.backup")
        print("monday:", monday.rows, "rows; tuesday:", tuesday.written, "that are newer")

    files = ["monday.backup", "tuesday.backup"]
    for one in await holdfast.verify_backups(files):
        print(one.name, "is whole, of revision", one.end.revision)

    for name, revision in (("monday", monday.revision), ("tuesday", None)):
        await holdfast.restore(files, f"lmdb:///{name}", to=revision)
        async with holdfast.open(f"lmdb:///{name}") as restored:
            plan = await restored.entries.require("notes:plan")
            print(name, plan.value["text"], "version", plan.metadata.version, end="; ")
            print("faults:", await restored.check())


asyncio.run(main())
