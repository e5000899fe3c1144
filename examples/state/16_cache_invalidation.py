"""Case O: fifty nodes forget what they remembered of a user when it changes."""

import asyncio

from where import keeper, service

from holdfast.state import Message, build_store

Memory = dict[str, dict[str, str]]


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("nodes")) as store:
        nodes: list[Memory] = [{"user:7": {"name": "Ada"}} for _ in range(50)]
        for memory in nodes:

            def forget(message: Message[dict[str, int]], memory: Memory = memory) -> None:
                memory.pop(f"user:{message.data['user_id']}", None)

            await store.events.subscribe("db:update:user", forget)
        await store.events.publish("db:update:user", {"user_id": 7})
        async with asyncio.timeout(1):
            while any(nodes):  # noqa: ASYNC110 - the handlers are plain functions
                await asyncio.sleep(0.01)
        print("all", len(nodes), "nodes have forgotten")


asyncio.run(main())
