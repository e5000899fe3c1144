"""Coroutines run on a loop of their own; databases lie in memory, for thousands of flushes come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.modes import quick_folder
from tests.store.scene import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a file system."""
    with quick_folder(tmp_path) as folder:
        yield folder
