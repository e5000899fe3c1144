"""Bytes under byte keys, in the order of the keys."""

import asyncio

from where import URL

import holdfast


async def main() -> None:
    async with holdfast.open(URL) as db:
        ledger = await db.stores.create("ledger")
        await ledger.set(b"2026-11-27/1", b"+30")
        await ledger.set_many({b"2026-11-27/2": b"-12", b"2026-11-28/1": b"+7"})
        print("one:", await ledger.get(b"2026-11-27/1"))
        print("none:", await ledger.get(b"2026-11-29/1", None))
        print("a day:", [key async for key, _ in ledger.prefix(b"2026-11-27/")])
        print("last first:", [key async for key, _ in ledger.iterate(ascending=False)])
        print("how many:", await ledger.count())
        await ledger.set(b"scan", bytes(range(256)) * 8192)
        print("a part of 2 MiB:", await ledger.get_range(b"scan", 1_000_000, 4))
        calls = await ledger.visit(lambda key, _value: key < b"2026-11-27/2")
        print("visited:", calls)
        print("removed:", await ledger.delete(b"scan"))


asyncio.run(main())
