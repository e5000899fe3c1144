"""Backups shipped again and again: to a directory here, to s3://bucket/app the same way."""

import asyncio
from pathlib import Path

import holdfast

URL, PLACE = "sqlite:///app.db", Path("shipped")


async def main() -> None:
    async with holdfast.open(URL) as db:
        moments = []
        for text in ("first", "second", "third"):
            await db.entries.set("notes:plan", text)
            moments.append(await holdfast.follow(URL, PLACE, once=True))
    for number, done in enumerate(moments):
        target = f"sqlite:///restored-{number}.db"
        await holdfast.restore([PLACE], target, to=done.revision)
        async with holdfast.open(target) as db:
            print("revision", done.revision, (await db.entries.require("notes:plan")).value)


asyncio.run(main())
print("there:", *sorted(one.name for one in PLACE.iterdir()))
