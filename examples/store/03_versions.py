"""Saved versions: read, compare, prove, branch, go back."""

import asyncio

from where import URL

import holdfast
from holdfast.stores.proofs import proven


async def main() -> None:
    async with holdfast.open(URL) as db:
        prices = await db.stores.create("prices", kind="iavl")
        await prices.set_many({b"apple": b"3", b"pear": b"4"})
        one = await prices.save_version()
        await prices.set(b"apple", b"5")
        await prices.delete(b"pear")
        two = await prices.save_version()
        print("versions", await prices.list_versions(), "roots differ:", one.root != two.root)
        async with await prices.at_version(1) as old:
            print("version 1:", dict([pair async for pair in old.iterate()]))
        print("what changed:", [tuple(change) async for change in prices.diff(1, 2)])

        # Whoever has the root believes the proof, and needs neither us nor the database.
        proof = await prices.prove(b"apple", 1)
        print("proven:", proven("iavl", one.root, proof, b"apple"))
        absent = await prices.prove(b"pear", 2)
        print("proven absent:", proven("iavl", two.root, absent, b"pear"))

        sale = await prices.branch("sale", 2)
        await sale.set(b"apple", b"1")
        print("here", await prices.get(b"apple"), "in the branch", await sale.get(b"apple"))
        print("merged:", await prices.merge(sale), "change,", await prices.get(b"apple"))

        await prices.load_version(1)
        print("loaded 1:", dict([pair async for pair in prices.iterate()]))
        print("the next is", (await prices.save_version()).number)
        together = await db.stores.save_version()
        print("all stores:", [(one.name, one.version) for one in together.stores])


asyncio.run(main())
