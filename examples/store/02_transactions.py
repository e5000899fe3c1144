"""A transaction is a store itself; what happens together is one commit."""

import asyncio

from where import URL

import holdfast


async def move(ledger: holdfast.Store, amount: int, source: bytes, target: bytes) -> None:
    async with ledger.transaction() as tx:
        left = int(await tx.get(source)) - amount
        await tx.set(source, b"%d" % left)
        await tx.set(target, b"%d" % (int(await tx.get(target)) + amount))
        if left < 0:
            raise ValueError("not enough")


async def main() -> None:
    async with holdfast.open(URL) as db:
        ledger = await db.stores.create("ledger")
        await ledger.set_many({b"ada": b"100", b"bob": b"0"})
        await move(ledger, 30, b"ada", b"bob")
        print(dict([pair async for pair in ledger.iterate()]))
        try:
            await move(ledger, 300, b"ada", b"bob")
        except ValueError as error:
            print("rolled back:", error)
        async with ledger.transaction() as tx:
            await tx.set(b"cem", b"1")
            async with tx.transaction() as savepoint:
                await savepoint.set(b"cem", b"2")
                await savepoint.rollback()
        print(dict([pair async for pair in ledger.iterate()]))
        one, two = await ledger.transaction().begin(), await ledger.transaction().begin()
        for tx in (one, two):
            await tx.set(b"bob", await tx.get(b"bob") + b"0")
        await one.commit()
        try:
            await two.commit()
        except holdfast.Conflict as error:
            print("the second one:", error.code)
        async with db.transaction() as both:
            await both.entries.set("orders:17", {"total": 42})
            await (await both.stores.get("ledger")).set(b"order", b"17")
        print("with an entry:", await ledger.get(b"order"), await db.entries.has("orders:17"))


asyncio.run(main())
