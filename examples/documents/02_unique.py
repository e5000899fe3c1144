"""A value that only one document may have, whoever else writes."""

import asyncio

import holdfast
from holdfast.contract.errors import DuplicateKey


async def main() -> None:
    async with holdfast.open("memory://") as db:
        users = db.collection("users")
        await users.create_index("email", "email", unique=True)
        await users.set("ada", {"email": "ada@example.org"})

        async def join(key: str) -> str:
            try:
                await users.set(key, {"email": "new@example.org"})
            except DuplicateKey:
                return f"{key}: taken"
            return f"{key}: welcome"

        print(*await asyncio.gather(*(join(f"user{at}") for at in range(3))), sep="\n")
        print(await users.count(email="new@example.org"), "has it")


asyncio.run(main())
