"""Databases on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import holdfast
from holdfast import Database
from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import ScopedStore, build_store

Opened = tuple[Database, ScopedStore]
Open = Callable[[], AbstractAsyncContextManager[Opened]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "lmdb", "sqlite"])
def here(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Open:
    """Opens a database with a store `api` on it; each test runs on every engine."""
    url = "memory://" if request.param == "memory" else f"{request.param}:///{tmp_path}/db"

    @asynccontextmanager
    async def opened() -> AsyncIterator[Opened]:
        parts = replace(system_components(), clock=clock)
        async with holdfast.open(url, components=parts, housekeeping=False) as db:
            yield db, build_store(db, "api")
            assert await db.check() == []

    return opened
