"""Sync handles on every embedded engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast.sync


@pytest.fixture(params=["memory", "sqlite", "lmdb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    engine = str(request.param)
    # Named, so that a second handle opens the same database.
    return f"memory://?name={tmp_path}" if engine == "memory" else f"{engine}:///{tmp_path / 'db'}"


@pytest.fixture
def db(url: str) -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open(url) as database:
        yield database
