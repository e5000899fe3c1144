"""Case G: a chat whose processor dies half-way; nothing it had is lost."""

import asyncio

from where import keeper, service

from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("chat")) as store:
        for text in ("hello", "how are you", "bye"):
            await store.streams.append("room:1", {"from": "Alice", "text": text})
        first = store.streams.group("chat-processors", "worker-1")
        await first.ensure("room:1")
        taken = await first.read("room:1", count=2)
        await first.ack("room:1", [taken[0].id])
        # worker-1 dies here, with one message in hand.

        done: list[str] = []
        second = store.streams.group("chat-processors", "worker-2")
        consumption = second.consume(
            "room:1",
            lambda message: done.append(message.message["text"]),
            reclaim_idle=0.1,
            block=0.1,
        )
        running = asyncio.create_task(consumption.run())
        while len(done) < 2:  # noqa: ASYNC110 - the handler is a plain function
            await asyncio.sleep(0.02)
        consumption.stop()
        await running
        print("worker-2 did", sorted(done))
        assert sorted(done) == ["bye", "how are you"]
        assert await second.pending("room:1") == []


asyncio.run(main())
