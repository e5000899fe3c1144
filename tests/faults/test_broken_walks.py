"""A walk that failed, or whose wait was cancelled, is asked again: it does not look complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import SchemaValidationFailed, StoreClosed, TimedOut, WrongContext
from holdfast.database.handle import Database
from holdfast.documents import F
from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer


@dataclass
class City:
    name: str


@asynccontextmanager
async def failing(*faults: Fault) -> AsyncIterator[tuple[Database, FaultsLayer]]:
    """A database whose engine, once it is filled, fails as planned."""
    layers: list[FaultsLayer] = []

    def layer(inner: Any) -> FaultsLayer:
        layers.append(FaultsLayer(inner, FaultPlan()))
        return layers[0]

    async with holdfast.open("memory://", layers=[layer], housekeeping=False) as db:
        await db.entries.set_many({f"k{number:05}": number for number in range(3_000)})
        things = db.collection("things")
        await things.set_many({f"k{number:05}": {"n": number} for number in range(3_000)})
        layers[0].calls.clear()
        layers[0]._planned = {(fault.verb, fault.on): fault for fault in faults}
        yield db, layers[0]


WALKS = {
    "keys": lambda db: db.entries.keys("#"),
    "items": lambda db: db.entries.items("#"),
    "query": lambda db: db.collection("things").query(F.n >= 0),
    "documents": lambda db: db.collection("things").entries(),
}


@pytest.mark.parametrize("name", WALKS)
async def test_a_walk_whose_engine_failed(name: str) -> None:
    async with failing(Fault("scan", on=2, error=TimedOut("planned"))) as (db, _):
        walk = WALKS[name](db)
        taken = 0
        with suppress(TimedOut):
            while True:
                await anext(walk)
                taken += 1
        assert taken < 3_000
        for _ in range(2):
            with pytest.raises(StoreClosed, match="broken off by a TimedOut"):
                await anext(walk)
        if name in ("keys", "items"):
            # Behind what was given, another one goes on.
            rest = getattr(db.entries, name)("#", after=walk.cursor) if taken else None
            assert rest is None or taken + len([one async for one in rest]) == 3_000
        await walk.aclose()
        assert await db.check() == []


@pytest.mark.parametrize("name", WALKS)
async def test_a_walk_whose_wait_was_cancelled(name: str) -> None:
    async with failing(Fault("scan", on=1, delay_s=5), Fault("scan", on=2, delay_s=5)) as (db, _):
        walk = WALKS[name](db)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                while True:
                    await anext(walk)
        with pytest.raises(StoreClosed, match="broken off by a CancelledError"):
            await anext(walk)
        await walk.aclose()


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("verb", ["snapshot", "scan"])
async def test_two_tasks_at_one_walk_break_it_for_neither(name: str, verb: Any) -> None:
    async with failing(Fault(verb, on=1, delay_s=0.1)) as (db, _):
        walk = WALKS[name](db)
        first = asyncio.ensure_future(anext(walk))
        await asyncio.sleep(0.01)
        if not first.done():
            with pytest.raises(WrongContext, match="each task"):
                await anext(walk)
        await first
        assert len([one async for one in walk]) == 2_999


async def test_a_document_that_does_not_fit_ends_no_walk_silently() -> None:
    async with holdfast.open("memory://") as db:
        await db.collection("cities").set_many({"a": {"name": "x"}, "b": {}, "c": {"name": "y"}})
        for walk in (db.collection("cities", City).query(), db.collection("cities", City).values()):
            await anext(walk)
            with pytest.raises(SchemaValidationFailed):
                await anext(walk)
            with pytest.raises(StoreClosed, match="SchemaValidationFailed"):
                await anext(walk)


def test_the_same_without_a_loop() -> None:
    with holdfast.sync.open("memory://") as db:
        db.collection("cities").set_many({"a": {"name": "x"}, "b": {}, "c": {"name": "y"}})
        walk = iter(db.collection("cities", City).query())
        next(walk)
        with pytest.raises(SchemaValidationFailed):
            next(walk)
        with pytest.raises(StoreClosed, match="SchemaValidationFailed"):
            next(walk)
