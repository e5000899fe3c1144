"""The nearest and what lies in a box, through a spatial index: what a walk over all gives."""

import asyncio
import random
from typing import Any

import pytest

from holdfast.documents.query import F
from holdfast.documents.query.places import Point, haversine
from tests.store.scene import Scene


def places(chance: random.Random) -> dict[str, Any]:
    """Crowded at some places, the date line and a pole among them, and empty elsewhere."""
    found: dict[str, Any] = {}
    for at in range(500):
        latitude, longitude = chance.choice(
            [(48.2, 16.4), (0.0, 179.9), (-17.0, -179.8), (89.5, 10.0), (10.0, 180.0)]
        )
        east = longitude + chance.gauss(0, 0.3)
        east = (east + 180) % 360 - 180
        point = {
            "lat": max(-90, min(90, latitude + chance.gauss(0, 0.3))),
            "lon": chance.choice([east, 180.0, -180.0]) if at % 40 == 0 else east,
        }
        several = at % 10 == 0
        found[f"k{at:03}"] = {"at": [point, {"lat": -50, "lon": at / 3}] if several else point}
    found["none"] = {"at": None}
    found["nowhere"] = {}
    return found


def points(document: Any) -> list[Point]:
    value = document.get("at")
    return [
        Point(one["lat"], one["lon"]) for one in (value if isinstance(value, list) else [value])
        if one
    ]  # fmt: skip


@pytest.mark.row("I-042")
async def test_nearest_and_boxes_agree_with_a_walk_over_all(scene: Scene) -> None:
    chance = random.Random(9)
    documents = places(chance)
    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.set_many(documents)
        await things.create_index("at", "at", kind="geo")
        for _ in range(12):
            center = Point(chance.uniform(-90, 90), chance.uniform(-180, 180))
            if chance.random() < 0.5:
                center = points(documents[f"k{chance.randrange(500):03}"])[0]
            wanted = chance.choice([1, 10, 60, 1000])
            far = {
                key: min(haversine(center, one) for one in points(document))
                for key, document in documents.items()
                if points(document)
            }
            found = things.query(F.at.near(*center), order_by=F.at.distance(*center), limit=wanted)
            keys = [one.key async for one in found]
            assert keys == sorted(far, key=lambda key: (far[key], key))[:wanted]
            metres = chance.choice([1_000, 50_000, 2_000_000])
            near = await things.count(F.at.near(*center, metres))
            assert near == sum(one <= metres for one in far.values())

            west = chance.uniform(-180, 180)
            box = {
                "west": west, "east": (west + chance.uniform(0, 90) + 180) % 360 - 180,
                "south": (south := chance.uniform(-90, 89)), "north": chance.uniform(south, 90),
            }  # fmt: skip
            inside = things.query(F.at.within(**box))
            by_walk = things.query(F.at.within(**box), hint="")
            assert [one.key async for one in inside] == [one.key async for one in by_walk]
            # Without a snapshot, as a whole.
            assert await things.find_many(F.at.within(**box)) == await things.find_many(
                F.at.within(**box), hint=""
            )


async def test_generators_are_closed_by_the_query_and_not_by_tasks(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator that is dropped half-way has its loop start a task to close it."""
    started: list[str] = []
    loop = asyncio.get_running_loop()
    create = loop.create_task

    def counted(work: Any, **options: Any) -> Any:
        started.append(type(work).__name__)
        return create(work, **options)

    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.set_many(places(random.Random(9)))
        await things.create_index("at", "at", kind="geo")
        monkeypatch.setattr(loop, "create_task", counted)
        found = await things.find_many(order_by=F.at.distance(48.2, 16.4), limit=3)
        await asyncio.sleep(0)
        assert len(found) == 3
        assert "async_generator_athrow" not in started
