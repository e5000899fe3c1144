"""State on a database: holdings that are let go by callers who are cancelled or interrupted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import holdfast
import holdfast.sync
from holdfast.state import build_store
from holdfast.sync.state_holding import Lease
from tests.faults.interrupts import each_line
from tests.faults.modes import url_of


@pytest.mark.parametrize("mode", ["memory", "lmdb"])
async def test_a_release_that_is_cancelled_lets_go_all_the_same(mode: str, quick: Path) -> None:
    async with holdfast.open(url_of(mode, quick), housekeeping=False) as db:
        store = build_store(db, "api")
        for turns in range(6):
            held = await store.claim.acquire("job", ttl=3600)
            assert held is not None
            letting = asyncio.ensure_future(held.release())
            for _ in range(turns):
                await asyncio.sleep(0)
            letting.cancel()
            await asyncio.gather(letting, return_exceptions=True)
            for _ in range(200):
                if await store.claim.holder("job") is None:
                    break
                await held.release()  # Once more is no fault.
                await asyncio.sleep(0.005)
            assert await store.claim.holder("job") is None, f"held after {turns} turns"
        assert await db.check() == []


def test_a_release_that_is_interrupted_can_be_called_again(quick: Path) -> None:
    with holdfast.sync.open(url_of("memory", quick), housekeeping=False) as db:
        store = holdfast.sync.state_store(db, "api")

        def acquired() -> Lease:
            lease = store.claim.acquire("job", ttl=3600)
            assert lease is not None
            return lease

        held = [acquired()]
        places = 0
        for place in each_line(lambda: held[-1].release(), step=7):  # noqa: PLW0108 - the newest
            places += 1
            held[-1].release()
            assert store.claim.holder("job") is None, f"held after an interrupt at {place}"
            held.append(acquired())
        assert places > 5
        held[-1].release()
        assert db.check() == []
