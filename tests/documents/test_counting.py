"""Counts by an index are those of a loop, whatever was written, and however many there are."""

import random
from typing import Any

import pytest

from holdfast.documents.planner import quick
from holdfast.documents.query import F, evaluate
from tests.store.scene import Scene

CONDITIONS = (
    F.n == 3, F.n >= 5, (F.n > 1) & (F.n <= 6), F.n.in_([2, 4, 9]), F.n < 0, F.city == "b",
    (F.city == "a") & (F.n >= 2),
)  # fmt: skip


async def agree(things: Any, rows: dict[str, Any]) -> None:
    for condition in CONDITIONS:
        expected = sum(evaluate(condition, one) for one in rows.values())
        assert await things.count(condition) == expected, condition
        assert await things.count(condition, hint="") == expected
        assert await things.count(condition, offset=2) == max(0, expected - 2)
        assert await things.count(condition, limit=3) == min(3, expected)


@pytest.mark.row("I-023")
@pytest.mark.parametrize("counted_max", [4, quick.COUNTED_MAX])
async def test_a_count_by_an_index_is_that_of_a_loop(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, counted_max: int
) -> None:
    monkeypatch.setattr(quick, "COUNTED_MAX", counted_max)
    chance = random.Random(7)
    async with scene.open() as db:
        things = db.collection("things", history="none")
        await things.create_index("n", "n")
        await things.create_index("city_n", ["city", "n"])
        rows: dict[str, Any] = {}
        for _ in range(6):
            some = {
                f"k{chance.randrange(60):02}": {
                    "n": chance.randrange(9),
                    "city": chance.choice("ab"),
                }
                for _ in range(25)
            }
            await things.set_many(some)
            rows |= some
            gone = chance.sample(sorted(rows), 5)
            await things.delete_many(gone)
            for key in gone:
                del rows[key]
            await agree(things, rows)
        await things.set("short", {"n": 3, "city": "a"}, ttl=5)
        await agree(things, rows | {"short": {"n": 3, "city": "a"}})
        scene.clock.advance(10)
        await agree(things, rows)
