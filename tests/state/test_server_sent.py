"""Server-sent events: frames that browsers read, heartbeats, what was missed, and an end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from holdfast.contract.errors import InvalidName, InvalidValue
from holdfast.state import MockStoreAdapter, build_store, server_sent_events
from holdfast.state.events.message import envelope
from holdfast.state.limits import SUBSCRIBER_QUEUE_MAX
from tests.state.conftest import opened, run
from tests.state.places import Place
from tests.state.test_events import until


async def following(frames: AsyncIterator[bytes]) -> bytes:
    """The next frame that is no heartbeat."""
    while (frame := await asyncio.wait_for(anext(frames), 10)) == b":\n\n":
        pass
    return frame


@pytest.mark.row("D-084")
def test_a_channel_becomes_frames(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as root:
            store = root.scope("org", 1)
            async with aclosing(server_sent_events(store, "order:*")) as frames:
                assert await anext(frames) == b":\n\n"
                await store.events.publish("order:placed", {"id": 1, "text": "two\nlines"})
                await root.events.publish("order:placed", "of nobody here")
                await store.events.publish("order:paid", "ü")
                assert await following(frames) == (
                    b'event: order:placed\ndata: {"id":1,"text":"two\\nlines"}\n\n'
                )
                assert await following(frames) == 'event: order:paid\ndata: "ü"\n\n'.encode()
                assert len(store.events.subscriptions()) == 1
            assert store.events.subscriptions() == []

    run(main())


def test_a_heartbeat_comes_when_nothing_else_does() -> None:
    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")
        async with aclosing(server_sent_events(store, "a", heartbeat=0.01)) as frames:
            assert [await anext(frames) for _ in range(3)] == [b":\n\n"] * 3
            await store.events.publish("a", 1)
            assert await following(frames) == b"event: a\ndata: 1\n\n"

    run(main())


def test_who_is_too_slow_is_told_what_was_missed() -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        store = build_store(adapter, "api")
        async with aclosing(server_sent_events(store, "a", heartbeat=60)) as frames:
            await anext(frames)
            for number in range(SUBSCRIBER_QUEUE_MAX + 5):
                await store.events.publish("a", number)
            assert await anext(frames) == b'event: missed\ndata: {"dropped":5,"gaps":0}\n\n'
            came = [await anext(frames) for _ in range(SUBSCRIBER_QUEUE_MAX)]
            assert came == [b"event: a\ndata: %d\n\n" % n for n in range(SUBSCRIBER_QUEUE_MAX)]
            [subscription] = store.events.subscriptions()
            # The way to the keeper was lost meanwhile.
            waiting = asyncio.create_task(anext(frames))
            await asyncio.sleep(0)
            subscription.gap()
            await store.events.publish("a", "again")
            assert await waiting == b'event: missed\ndata: {"dropped":5,"gaps":1}\n\n'
            assert await anext(frames) == b'event: a\ndata: "again"\n\n'

    run(main())


@dataclass
class Order:
    id: int
    secret: str


def test_what_is_sent_can_be_chosen_and_what_cannot_be_sent_is_reported() -> None:
    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")
        frames = server_sent_events(store, "a", data=lambda message: 1 / message.data["n"])
        async with aclosing(frames):
            await anext(frames)
            [subscription] = store.events.subscriptions()
            await store.events.publish("a", {"n": 0})
            await store.events.publish("a", {"n": 2})
            assert await following(frames) == b"event: a\ndata: 0.5\n\n"
            assert subscription.failed == 1

    run(main())


def test_a_cancelled_reader_leaves_nothing_behind() -> None:
    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")

        async def response() -> None:
            async with aclosing(server_sent_events(store, "a")) as frames:
                async for _ in frames:
                    pass

        serving = asyncio.create_task(response())
        await until(store.events.subscriptions)
        await store.events.publish("a", 1)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert store.events.subscriptions() == []
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main())


@pytest.mark.parametrize("waiting", [1, 3])
def test_a_reader_that_goes_while_it_sends_leaves_nothing_behind(waiting: int) -> None:
    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")
        async with aclosing(server_sent_events(store, "a")) as frames:
            await anext(frames)
            for number in range(waiting):
                await store.events.publish("a", number)
            assert await following(frames) == b"event: a\ndata: 0\n\n"
        assert store.events.subscriptions() == []
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main())


def test_a_name_that_would_be_another_line_is_reported() -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        store = build_store(adapter, "api")
        async with aclosing(server_sent_events(store, "a")) as frames:
            await anext(frames)
            [subscription] = store.events.subscriptions()
            foreign = envelope("a\n\nevent: b", 1, 0, ())
            subscription.deliver("a", json.dumps(foreign).encode())
            await store.events.publish("a", 2)
            assert await following(frames) == b"event: a\ndata: 2\n\n"
            assert (subscription.failed, subscription.refused) == (1, 0)

    run(main())


def test_it_ends_when_the_channel_is_unsubscribed_from() -> None:
    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")
        async with aclosing(server_sent_events(store, "a", heartbeat=0.01)) as frames:
            await anext(frames)
            await store.events.unsubscribe("a")
            assert [frame async for frame in frames] == []

    run(main())


def test_bad_arguments() -> None:
    async def main() -> None:
        store = build_store(MockStoreAdapter(), "api")
        with pytest.raises(InvalidName):
            await anext(server_sent_events(store, "no channel"))
        with pytest.raises(InvalidValue):
            await anext(server_sent_events(store, "a", heartbeat=0))
        assert store.events.subscriptions() == []

    run(main())
