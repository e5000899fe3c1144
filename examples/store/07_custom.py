"""A store of your own kind: a queue, on the verbs that every store has."""

import asyncio

from where import URL

import holdfast


class Queue:
    """First in, first out; many takers, and each item goes to one."""

    def __init__(self, store: holdfast.Store) -> None:
        self._store = store

    async def put(self, item: bytes) -> None:
        last = [key async for key, _ in self._store.iterate_range(ascending=False, limit=1)]
        number = int.from_bytes(last[0], "big") + 1 if last else 0
        await self._store.set(number.to_bytes(8, "big"), item)

    async def take(self) -> bytes | None:
        while True:
            try:
                async with self._store.transaction() as tx:
                    async for key, item in tx.iterate_range(limit=1):
                        await tx.delete(key)
                        return item
                    return None
            except holdfast.Conflict:
                continue  # Another taker was faster.


async def main() -> None:
    async with holdfast.open(URL) as db:
        queue = Queue(await db.stores.create("queue"))
        for item in (b"a", b"b", b"c", b"d"):
            await queue.put(item)
        taken = await asyncio.gather(*(queue.take() for _ in range(6)))
        print(sorted(item for item in taken if item), taken.count(None))


asyncio.run(main())
