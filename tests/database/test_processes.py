"""Several processes on one database: no update is lost, and a watch here sees what others do."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

import holdfast
from tests.store.scene import Scene, first

SOURCE = Path(holdfast.__file__).parents[1]
PROCESSES = 4
WRITES_EACH = 500

WRITER = """
import sys, holdfast.sync
with holdfast.sync.open(sys.argv[1], housekeeping=False) as db:
    for _ in range(int(sys.argv[2])):
        db.entries.modify("n", lambda value: (value or 0) + 1)
"""


@pytest.mark.row("K-038", "trap 7")
async def test_four_processes_lose_no_update_and_a_watcher_no_change(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        start = db.revision
        writers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WRITER, kept_scene.url, str(WRITES_EACH),
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
            )
            for _ in range(PROCESSES)
        ]  # fmt: skip
        async with asyncio.timeout(50):
            changes = await first(db.watch(since=start), PROCESSES * WRITES_EACH, within_s=45)
            assert [await one.wait() for one in writers] == [0] * PROCESSES
        assert [one.after.value for one in changes] == list(range(1, PROCESSES * WRITES_EACH + 1))
        entry = await db.entries.require("n")
        assert (entry.value, entry.metadata.version) == (2000, 2000)
