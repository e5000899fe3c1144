"""A bank that moves money until it is killed; `test_durability` looks at what is left.

    python -m tests.rows.bank URL SEED

Some tasks transfer at once, each transfer one transaction: two balances and an entry of the
ledger. A line of output for each that was acknowledged: its number.
"""

import asyncio
import os
import random
import sys

import holdfast
from holdfast.database.transaction import Transaction

ACCOUNTS = 6
BALANCE = 1_000
TASKS = 4


def account(number: int) -> str:
    return f"accounts:{number}"


def entry_of(seed: int, task: int, number: int) -> str:
    return f"ledger:{seed}-{task}-{number}"


async def transfer(db: holdfast.Database, ledger: str, chance: random.Random) -> None:
    """Move some money from one account to another."""
    giver, taker = chance.sample(range(ACCOUNTS), 2)
    amount = chance.randrange(1, 50)

    async def work(tx: Transaction) -> None:
        await tx.entries.modify(account(giver), lambda balance: balance - amount)
        await tx.entries.modify(account(taker), lambda balance: balance + amount)
        await tx.entries.set(ledger, [giver, taker, amount])

    await db.transact(work, retries=1_000)


async def trade(db: holdfast.Database, seed: int, task: int) -> None:
    chance = random.Random(f"{seed} {task}")
    number = 0
    while True:
        ledger = entry_of(seed, task, number)
        await transfer(db, ledger, chance)
        os.write(1, f"{ledger}\n".encode())
        number += 1


async def main(url: str, seed: int) -> None:
    """Trade until the end."""
    async with holdfast.open(url) as db:
        if not await db.entries.has(account(0)):
            await db.entries.set_many({account(number): BALANCE for number in range(ACCOUNTS)})
        async with asyncio.TaskGroup() as tasks:
            for task in range(TASKS):
                tasks.create_task(trade(db, seed, task))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
