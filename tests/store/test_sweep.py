"""The sweep: one pass over what is due, whatever else lies there."""

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.store import layout
from holdfast.store.instances import EXPIRE_BATCH_MAX
from tests.store.scene import Scene, engine_of


@pytest.mark.row("trap 20")
async def test_expiry_rows_that_belong_to_nobody_do_not_keep_others_waiting(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        stray = layout.region(1, layout.DATA) + b"\x20stray %05d\0"
        nobody = layout.region(999, layout.DATA) + b"\x20%05d\0"
        count = EXPIRE_BATCH_MAX + 50
        rows = [Put(layout.expiry_key(1_000 + n, stray % n), b"") for n in range(count)]
        rows += [Put(layout.expiry_key(5_000 + n, nobody % n), b"") for n in range(count)]
        await engine_of(db).commit(Batch(rows))
        await db.entries.set("a", 1, ttl=1)
        scene.clock.advance(1)
        assert await db.sweep() == 1
        shared = db._require_shared()
        await db.entries.set("b", 1, ttl=0.25)
        # They do not keep the housekeeping from resting either.
        assert await shared._keep_house() == 0.25
