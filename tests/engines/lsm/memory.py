"""Databases of thousands of flushes lie in memory: import the fixture in the place of pytest's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.modes import quick_folder


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a file system."""
    with quick_folder(tmp_path) as folder:
        yield folder
