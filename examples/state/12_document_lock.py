"""Case K: one lawyer edits a clause, the others hear of it."""

import asyncio

from where import keeper, service

from holdfast.state import Message, build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("legal")) as store:
        heard: list[Message[object]] = []
        await store.events.subscribe("doc:7:locked", heard.append)

        async def edit(lawyer: str) -> bool:
            if not await store.claim.once("doc:7:clause:3", lawyer, ttl=0.3):
                return False
            await store.events.publish("doc:7:locked", {"clause": 3, "lawyer": lawyer})
            return True

        assert await asyncio.gather(edit("ada"), edit("bob")) == [True, False]
        await asyncio.sleep(0.4)
        print("heard", [message.data for message in heard])
        assert len(heard) == 1
        assert await edit("bob"), "free again after its time"


asyncio.run(main())
