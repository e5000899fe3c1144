"""Databases as adapters are given them: of `holdfast.sync` on each engine that needs no server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast.sync


@pytest.fixture(params=["memory", "lmdb", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.sync.Database]:
    """Open, and empty."""
    place = "" if request.param == "memory" else str(tmp_path / "database")
    with holdfast.sync.open(f"{request.param}:///{place}" if place else "memory://") as database:
        yield database
