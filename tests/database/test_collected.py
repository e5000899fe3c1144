"""A closed database leaves nothing: its last calls are no circle that the collector cannot see."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.documents import F
from tests.faults.modes import MODES, url_of

#: How often it is looked whether an engine is gone; each look but the first waits 10 ms.
LOOKS = 500


def engine_of(db: Any) -> weakref.ref[Any]:
    return weakref.ref(db._require_shared().engine)


async def work_on(db: holdfast.Database) -> None:
    """A little of everything that commits; `set` comes last."""
    things, entries = db.collection("things"), db.entries
    await things.set_many({"a": {"n": 1}, "b": {"n": 2}})
    await things.create_index("n", "n")
    await things.modify("a", lambda value: value)
    assert await things.patch_matching({"m": 1}, F.n >= 1) == 2
    assert len(await things.find_many(n=2)) == 1
    store = await db.stores.create("ledger")
    await store.set(b"k", b"v")
    await entries.set_many({f"k{number}": number for number in range(20)})
    await entries.modify("k1", lambda value: value)
    async with db.transaction() as transaction:
        await transaction.entries.set("k2", 2)
    assert [entry.value async for entry in entries.items("k1")] == [1]
    await entries.set("k3", {"a": [1]})


@pytest.mark.parametrize("mode", MODES)
async def test_a_database_that_was_awaited(mode: str, tmp_path: Path) -> None:
    async with holdfast.open(url_of(mode, tmp_path)) as db:
        await work_on(db)
        left = engine_of(db)
    del db
    for _ in range(LOOKS):
        gc.collect()
        if left() is None:
            return
        await asyncio.sleep(0.01)  # What the loop or a thread does last may hold it for a moment.
    raise AssertionError("the engine is still there")


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_was_driven(mode: str, tmp_path: Path) -> None:
    with holdfast.sync.open(url_of(mode, tmp_path)) as db:
        things, entries = db.collection("things"), db.entries
        things.set("a", {"n": 1})
        things.modify("a", lambda value: value)
        entries.set_many({f"k{number}": number for number in range(20)})
        entries.modify("k1", lambda value: value)
        with db.transaction() as transaction:
            transaction.entries.set("k2", 2)
        entries.set("k3", {"a": [1]})
        left = engine_of(db._inner)
    del db, things, entries, transaction
    for _ in range(LOOKS):
        gc.collect()
        if left() is None:
            return
        threading.Event().wait(0.01)
    raise AssertionError("the engine is still there")
