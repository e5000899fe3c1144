"""Being told how far a long call has come: what is no function, and what one raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import InvalidInput
from tests.store.scene import Scene


async def awaited(*_: Any) -> None:
    """Nobody would await it."""


class Awaited:
    async def __call__(self, *_: Any) -> None:
        """Likewise."""


@pytest.mark.parametrize("wrong", [5, "x", awaited, Awaited()])
async def test_what_cannot_be_told_is_refused_before_anything_is_made(
    tmp_path: Path, wrong: Any
) -> None:
    async with holdfast.open("memory://") as db:
        await db.entries.set_many({f"k{number}": number for number in range(50)})
        full = tmp_path / "full"
        await db.backup(full)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: db.backup(tmp_path / "other", progress=wrong),
            lambda: db.copy_to(f"sqlite:///{tmp_path}/copy.db", progress=wrong),
            lambda: db.check(progress=wrong),
            lambda: db.stats(progress=wrong),
            lambda: db.compact(progress=wrong),
            lambda: holdfast.restore([full], f"sqlite:///{tmp_path}/new.db", progress=wrong),
        ]
        for call in calls:
            with pytest.raises(InvalidInput, match="progress is a"):
                await call()
        assert [one.name for one in tmp_path.iterdir()] == ["full"]  # noqa: ASYNC240 - three files


@pytest.mark.parametrize("error", [ValueError("enough"), KeyError("enough"), KeyboardInterrupt()])
async def test_what_a_progress_raises_is_no_fault_of_the_database(
    scene: Scene, error: BaseException
) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"k{number}": number for number in range(3_000)})
        await db.collection("c").set_many({f"k{number}": {"n": number} for number in range(3_000)})

        def stops(_count: int) -> None:
            raise error

        with pytest.raises(type(error)):
            await db.check(progress=stops)
        assert await db.check() == []
