"""Level 3: several steps that happen together or not at all."""

import asyncio
from typing import Any

from holdfast.database.storages import SQLiteStorageAdapter
from holdfast.documents.transacting import CollectionTransaction


async def transfer(tx: CollectionTransaction[Any]) -> None:
    giver, taker = await tx.require("account:123"), await tx.require("account:456")
    await tx.set("account:456", {"balance": taker["balance"] + 100})
    if giver["balance"] < 100:
        raise ValueError("not enough")
    await tx.set("account:123", {"balance": giver["balance"] - 100})


async def main() -> None:
    async with SQLiteStorageAdapter[Any](":memory:") as accounts:
        await accounts.set_many({"account:123": {"balance": 150}, "account:456": {"balance": 0}})
        await accounts.transaction(transfer)
        print(await accounts.get_many(["account:123", "account:456"]))
        try:
            await accounts.transaction(transfer)
        except ValueError as error:
            print("refused:", error)
        print(await accounts.get_many(["account:123", "account:456"]))


asyncio.run(main())
