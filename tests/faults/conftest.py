"""Coroutines as tests, in this folder, and a folder whose flushes are quick."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.modes import quick_folder
from tests.store.scene import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a file system."""
    with quick_folder(tmp_path) as folder:
        yield folder
