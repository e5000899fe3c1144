"""The table of calls on the page about migration: both columns are run, and agree."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.store.scene import Scene
from tests.tidy import repository

PAGE = (repository.ROOT / "docs" / "how-to" / "migrating.md").read_text()
CALLS = re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)
CONTENT = {b"be": b"2", b"not": b"1", b"by": b"3"}


def test_the_table_is_there() -> None:
    assert len(CALLS) >= 7


@pytest.mark.row("E-140")
@pytest.mark.row("E-090")
@pytest.mark.parametrize(("before", "after"), CALLS)
async def test_what_is_called_how(scene: Scene, before: str, after: str) -> None:
    async with scene.open() as db:
        new = await db.stores.create("s")
        await new.set_many(CONTENT)
        names: dict[str, Any] = {"old": dict(CONTENT), "new": new}
        # Both come from our own page.
        wanted = eval(before, names)
        exec(f"async def now():\n    return {after}", names)
        assert await names["now"]() == wanted
