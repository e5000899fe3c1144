"""One holder at a time, in every process; and what happens to those who wait in a circle."""

import asyncio

import holdfast
from holdfast.contract.errors import DeadlockDetected


async def main() -> None:
    async with holdfast.open("sqlite:///locks.db") as db:
        # Tasks take turns in the order they came. A lock in another process would wait as well.
        async def print_page(number: int) -> None:
            async with db.lock("printer") as lock:
                await asyncio.sleep(0.01)
                print(f"page {number}, fencing token {lock.token}")

        await asyncio.gather(*(print_page(number) for number in range(3)))

        # Each holds what the other wants: one is told, lets go, and the other goes on.
        both = asyncio.Barrier(2)

        async def move(source: str, target: str) -> str:
            async with db.lock(source):
                await both.wait()
                try:
                    async with db.lock(target):
                        return f"{source} to {target}: done"
                except DeadlockDetected as error:
                    return f"{source} to {target}: {error}"

        for line in await asyncio.gather(move("left", "right"), move("right", "left")):
            print(line)


asyncio.run(main())
