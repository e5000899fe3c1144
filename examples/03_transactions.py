"""Move money: all of it or none of it, whoever else writes."""

import asyncio

import holdfast


async def main() -> None:
    async with holdfast.open("memory://") as db:
        await db.entries.set_many({"accounts:ada": 100, "accounts:grace": 0})

        async def transfer(transaction: holdfast.Transaction) -> None:
            entries = transaction.entries
            ada = (await entries.require("accounts:ada")).value
            if ada < 10:
                raise ValueError("not enough")
            grace = (await entries.require("accounts:grace")).value
            await entries.set("accounts:ada", ada - 10)
            await entries.set("accounts:grace", grace + 10)

        # Ten at once: those that lose read again and try again.
        await asyncio.gather(*(db.transact(transfer, retries=50) for _ in range(10)))
        async for account in db.entries.items("accounts/#"):
            print(account.key, account.value)

        try:
            await db.transact(transfer)
        except ValueError as refused:
            print("refused:", refused, "- and nothing was written")

        # A snapshot stays what it was.
        async with await db.snapshot() as before:
            await db.entries.set("accounts:ada", 1_000)
            print("then", (await before.entries.require("accounts:ada")).value)
            print("now", (await db.entries.require("accounts:ada")).value)


asyncio.run(main())
