"""A bridge between two real servers: each event crosses once, and no loop comes of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import InvalidInput
from holdfast.state import EventBridge, Message
from tests.state.conftest import RedisServer, opened, run
from tests.state.places import Place
from tests.state.test_events import Placed, declared, until


@pytest.fixture
def america(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "us")
    server.start()
    yield server
    server.kill()


@pytest.mark.row("D-122", "D-143")
def test_events_cross_once(place: Place, america: RedisServer, service: str) -> None:
    async def main() -> None:
        async with (
            opened(place, service, declared) as eu,
            opened(america, service, declared) as us,
            opened(place, service, declared) as eu2,
            opened(america, service, declared) as us2,
        ):
            heard: dict[str, list[Message[Any]]] = {"eu": [], "us": []}
            caches = {"eu": {"user:7": 1}, "us": {"user:7": 1}}
            for name, store in (("eu", eu), ("us", us)):
                await store.events.subscribe("*", heard[name].append)

                def forget(_: Message[Any], name: str = name) -> None:
                    caches[name].clear()

                await store.events.subscribe("invalidate:user", forget)
            # Two processes run the same bridge.
            async with EventBridge([eu, us]) as one, EventBridge([eu2, us2]) as two:
                await eu.events.publish("invalidate:user", {"id": 7})
                await us.events.publish("order:placed", {"order_id": "1"})
                await until(lambda: len(heard["eu"]) >= 2 and len(heard["us"]) >= 2)
                await asyncio.sleep(0.2)
                assert one.carried + two.carried == 2
            for messages in heard.values():
                assert sorted(one.type for one in messages) == ["invalidate:user", "order:placed"]
            assert caches == {"eu": {}, "us": {}}
            crossed = next(one for one in heard["eu"] if one.type == "order:placed")
            assert crossed.data == Placed("1")
            assert crossed.via == ("bridge",)
            # Closed: nothing crosses any more.
            await eu.events.publish("invalidate:user", {"id": 8})
            await until(lambda: len(heard["eu"]) == 3)
            await asyncio.sleep(0.1)
            assert len(heard["us"]) == 2

    run(main())


def test_a_region_that_is_away_does_not_hold_up_the_others(
    place: Place, america: RedisServer, service: str
) -> None:
    async def main() -> None:
        async with (
            opened(place, service + "a") as eu,
            opened(place, service + "b") as asia,
            opened(america, service) as us,
        ):
            heard: list[Any] = []
            async with EventBridge([eu, us, asia]) as bridge:
                america.kill()
                await asia.events.subscribe("a", heard.append)
                await eu.events.publish("a", 1)
                await until(lambda: heard)
                assert bridge.carried == 1
            with pytest.raises(InvalidInput):
                EventBridge([eu])

    run(main())
