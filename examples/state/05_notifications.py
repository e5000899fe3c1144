"""Case D: high orders reach every dashboard, as server-sent events over real sockets."""

import asyncio
from contextlib import aclosing, closing
from dataclasses import dataclass

from where import keeper, service

from holdfast.state import EventClass, StoreBuilder, event, server_sent_events


@dataclass
class Placed:
    order_id: str
    amount: float


class OrderEvents(EventClass, namespace="order"):
    high_value_placed = event(Placed)


async def main() -> None:
    builder = StoreBuilder.create().with_service(service("orders")).add_events(OrderEvents)
    async with keeper() as adapter, builder.with_adapter(adapter).build() as store:
        orders = store.events.of(OrderEvents)
        listening = asyncio.Event()

        async def dashboard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            frames = server_sent_events(
                store, "order:*", data=lambda message: message.data.order_id
            )
            with closing(writer):
                async with aclosing(frames):
                    async for frame in frames:
                        writer.write(frame)
                        listening.set()
                        if frame.startswith(b"event:"):
                            break

        async with await asyncio.start_server(dashboard, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            with closing(writer):
                writer.write(b"GET /alerts HTTP/1.1\r\n\r\n")
                await listening.wait()
                await orders.high_value_placed.publish(Placed("123", 5000))
                answer = (await reader.read()).decode()
        print(answer.splitlines()[-2])
        assert 'event: order:high_value_placed\ndata: "123"\n\n' in answer


asyncio.run(main())
