"""Fixtures of this folder: databases on real files, for both ways to call them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import holdfast
import holdfast.sync
from holdfast.adapters.place import close_databases


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "time_intensive: so the suite of dogpile calls what waits")


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """What is named by address stays open until the process ends, and others count what is open."""
    yield
    close_databases()


@pytest.fixture
def anyio_backend() -> str:
    """The loop on which the coroutines of this folder and of other suites run."""
    return "asyncio"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open(f"sqlite:///{tmp_path}/adapted.db?durability=relaxed") as database:
        yield database


@pytest.fixture
async def async_db(tmp_path: Path) -> AsyncIterator[holdfast.Database]:
    address = f"sqlite:///{tmp_path}/adapted.db?durability=relaxed"
    async with holdfast.open(address) as database:
        yield database
