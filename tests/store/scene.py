"""The scene of tests that need a database: one fixture, every engine, a clock that stands still.

A test function that is a coroutine runs on a fresh event loop. Databases opened through the scene
are checked when they close.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.database.handle import Database
from holdfast.records.core import KeyValueStore
from holdfast.records.services.granting import GrantingLockService
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.storage import EngineEntryStorage
from holdfast.runtime.system import SystemHost

#: Every engine of this package. An engine that cannot be imported fails its tests.
ENGINES = ("memory", "lmdb", "sqlite")
PERSISTENT = tuple(name for name in ENGINES if name != "memory")

_numbers = count(1)


class Scene:
    """One place for a database, and what its handles are given.

    Attributes:
        engine: name of the engine.
        url: of the database; handles on it share it.
        clock: moves only when told.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.url = url_of(engine, folder)
        self.clock = ManualClock()
        self.components = Components(host=SystemHost(), clock=self.clock, ids=SystemIds(self.clock))

    def handle(self, url: str | None = None, **settings: Any) -> Database:
        """A handle that is not open yet, without housekeeping."""
        given: dict[str, Any] = {"housekeeping": False, "components": self.components}
        return holdfast.open(url or self.url, **(given | settings))

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Database]:
        """An open handle; the database is checked before it closes."""
        async with self.handle(**settings) as db:
            yield db
            assert await db.check() == []

    @asynccontextmanager
    async def open_unchecked(self, **settings: Any) -> AsyncIterator[Database]:
        """An open handle for tests that leave rows which no view would write."""
        async with self.handle(**settings) as db:
            yield db
            assert await engine_of(db).check() == []


def url_of(engine: str, folder: Path) -> str:
    """A URL for a database of that engine that nobody else has."""
    if engine == "memory":
        return f"memory://?name=scene-{next(_numbers)}"
    return f"{engine}:///{folder / 'app.db'}"


@pytest.fixture(params=ENGINES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A fresh place on each engine."""
    return Scene(request.param, tmp_path)


@pytest.fixture(params=PERSISTENT)
def kept_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A fresh place on each engine whose databases outlive their handles."""
    return Scene(request.param, tmp_path)


def engine_of(db: Database) -> Engine:
    """The engine below a handle."""
    return db._open_engine()


def storage_of(db: Database) -> EngineEntryStorage:
    """The storage service below the entries of a handle."""
    return db._open_parts().storage


def core_of(db: Database, **services: Any) -> KeyValueStore:
    """The bare entry store on a handle's storage, without decorators; services can be replaced."""
    components = db._components
    standard: dict[str, Any] = {
        "storage": storage_of(db),
        "keys": PathKeyService(),
        "hashing": Sha256HashingService(),
        "metadata": StandardMetadataService(components.clock, components.ids),
        "locks": GrantingLockService(),
    }
    return KeyValueStore(**(standard | services))


async def rows_of(db: Database, range: Range | None = None) -> list[tuple[bytes, Record]]:
    """Every row that the engine holds in the range."""
    rows: list[tuple[bytes, Record]] = []
    rest: Range | None = range or Range()
    while rest is not None:
        page = await engine_of(db).scan(rest)
        rows += page.rows
        rest = page.resume
    return rows


async def listed(items: AsyncIterator[Any]) -> list[Any]:
    """What an asynchronous iterator gives until it ends."""
    return [item async for item in items]


async def first(items: AsyncIterator[Any], wanted: int, within_s: float = 20) -> list[Any]:
    """The first items of an asynchronous iterator that may never end."""
    found: list[Any] = []
    async with asyncio.timeout(within_s):
        while len(found) < wanted:
            found.append(await anext(items))
    return found


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Let other tasks and threads go on until the condition holds."""
    async with asyncio.timeout(20):
        while True:
            held = condition()
            if inspect.isawaitable(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.001)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


__all__ = ["kept_scene", "pytest_pyfunc_call", "scene"]
