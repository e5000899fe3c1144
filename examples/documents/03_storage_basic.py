"""Level 1: documents under keys, in one JSON file."""

import asyncio

from holdfast.database.storages import open_storage


async def main() -> None:
    async with open_storage({"type": "json", "file_path": "users.json", "pretty": True}) as users:
        await users.set("user:123", {"id": "123", "name": "Alice"})
        await users.set("user:124", {"id": "124", "name": "Bob"})
        print(await users.get("user:123"))
        print(await users.has("user:999"), await users.size())
        async for key, user in users.entries():
            print(key, user["name"])
    with open("users.json") as file:  # noqa: ASYNC230, PTH123
        print(file.read(), end="")


asyncio.run(main())
