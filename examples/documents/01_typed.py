"""Typed documents, with an index and what it spares."""

import asyncio
from dataclasses import dataclass

import holdfast
from holdfast.documents import F


@dataclass
class Book:
    title: str
    year: int
    pages: int


async def main() -> None:
    async with holdfast.open("memory://") as db:
        books = db.collection("books", type=Book)
        await books.set_many(
            {f"b{at:03}": Book(f"Volume {at}", 1900 + at % 120, 100 + at) for at in range(500)}
        )
        wanted = (F.year >= 1990) & (F.year < 1992)
        before = await books.explain(wanted, order_by="-year", limit=3)
        await books.create_index("year", "year")
        after = await books.explain(wanted, order_by="-year", limit=3)
        print("documents looked at:", before["examined"]["documents"], "without an index,",
              after["examined"]["documents"], "with one")  # fmt: skip
        for book in await books.find_many(wanted, order_by="-year", limit=3):
            print(book)


asyncio.run(main())
