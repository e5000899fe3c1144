"""A walk that is left early closes every generator that it stands on, at once."""

import sys
from typing import Any, Self

import pytest

from holdfast.documents.aggregate import count_, group_by, unwind
from holdfast.documents.query import F
from tests.store.scene import Scene

#: Queries of every way to walk: the collection, an index, several, in order, sorted, by distance.
QUERIES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "collection": ((F.rest >= 0,), {}),
    "index": ((F.n >= 3,), {}),
    "index of arrays": ((F.tags == "a",), {}),
    "alternatives": (((F.n == 3) | (F.name == "name 5"),), {}),
    "in the order of an index": ((F.n >= 0, F.rest >= 0), {"order_by": "n"}),
    "an order with ties": ((F.n >= 0,), {"order_by": ["n", "name"]}),
    "sorted": ((F.rest >= 0,), {"order_by": "-rest"}),
    "by distance": (
        (F.at.near(0, 0),),
        {"order_by": F.at.distance(0, 0), "limit": 20},
    ),
}


async def filled(db: Any) -> Any:
    things = db.collection("things", history="none")
    await things.set_many(
        {
            f"k{at:03}": {
                "n": at, "name": f"name {at % 7}", "rest": at * 3, "tags": ["a", "b"],
                "at": {"latitude": at / 10, "longitude": at / 10},
            }
            for at in range(200)
        }
    )  # fmt: skip
    await things.create_index("n", "n")
    await things.create_index("name", "name")
    await things.create_index("tags", "tags")
    await things.create_index("at", "at", kind="geo")
    return things


class Generators:
    """Counts asynchronous generators that are begun, and those that were dropped unfinished."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.dropped: list[str] = []

    def __enter__(self) -> Self:
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            lambda one: self.begun.append(repr(one)),
            lambda one: self.dropped.append(repr(one)),
        )
        return self

    def __exit__(self, *_error: object) -> None:
        sys.set_asyncgen_hooks(*self._hooks)


@pytest.mark.row("I-022", "I-114")
@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_that_is_left_early_drops_no_generator(scene: Scene, name: str) -> None:
    conditions, options = QUERIES[name]
    async with scene.open() as db:
        things = await filled(db)
        with Generators() as generators:
            walk = things.query(*conditions, **options)
            await anext(walk)
            await walk.aclose()
            del walk
        assert generators.begun
        assert generators.dropped == []


@pytest.mark.row("I-022", "I-114")
async def test_a_pipeline_that_is_left_early_drops_no_generator(scene: Scene) -> None:
    async with scene.open() as db:
        things = await filled(db)
        for pipeline in ([unwind(F.tags)], [group_by(F.name, n=count_())]):
            with Generators() as generators:
                walk = things.aggregate(pipeline)
                await anext(walk)
                await walk.aclose()
                del walk
            assert generators.begun
            assert generators.dropped == []
